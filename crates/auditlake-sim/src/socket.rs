//! Connections that a simulator can break on purpose.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A listener whose connections can be broken.
#[derive(Debug)]
pub(super) struct Sockets(pub(super) TcpListener);

/// A connection with the switch that breaks it.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    breaker: Breaker,
}

/// The switch that breaks the connection of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker(Arc<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    armed: AtomicBool,
    bytes_left: AtomicUsize,
    reset: AtomicBool,
}

impl Breaker {
    /// Resets the connection before any more bytes are written.
    pub(super) fn reset(&self) {
        self.0.reset.store(true, Ordering::SeqCst);
        self.0.armed.store(true, Ordering::SeqCst);
    }

    /// Closes the connection after `bytes` more bytes.
    pub(super) fn close_after(&self, bytes: usize) {
        self.0.bytes_left.store(bytes, Ordering::SeqCst);
        self.0.armed.store(true, Ordering::SeqCst);
    }
}

impl Listener for Sockets {
    type Io = Socket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let breaker = Breaker::default();
        (Socket { stream, breaker }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Sockets>> for Breaker {
    fn connect_info(stream: IncomingStream<'_, Sockets>) -> Self {
        stream.io().breaker.clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let breaker = self.breaker.clone();
        if !breaker.0.armed.load(Ordering::SeqCst) {
            return Pin::new(&mut self.stream).poll_write(cx, buf);
        }
        let left = breaker.0.bytes_left.load(Ordering::SeqCst);
        if left == 0 {
            if breaker.0.reset.load(Ordering::SeqCst) {
                self.stream.set_zero_linger()?;
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let some = &buf[..buf.len().min(left)];
        let written = Pin::new(&mut self.stream).poll_write(cx, some);
        if let Poll::Ready(Ok(bytes)) = written {
            breaker.0.bytes_left.store(left - bytes, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
