//! The writer to stderr: a thread with a queue, so that a stalled reader only blocks that thread.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The maximum size of the queue in bytes.
const ROOM: usize = 1 << 20;
/// The overhead of a line in bytes.
const LINE: usize = 64;
/// The duration of a write after which the reader counts as stalled.
const STALLED: Duration = Duration::from_secs(3);
/// The timeout for writing the last lines at the end.
const FLUSH: Duration = Duration::from_secs(5);
/// The pause before a non-blocking descriptor is tried again.
const BUSY: Duration = Duration::from_millis(20);

/// The writer of this process, once logging has started.
static WRITER: OnceLock<LogWriter> = OnceLock::new();
/// The number of lines dropped since the start of the process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of log lines dropped so far because stderr wasn't read.
pub fn log_lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Starts the thread of this process. Without `drops_at_once`, a caller waits until its line is written, so that no
/// line is lost and a command's output keeps its order, unless the reader has stalled.
pub(super) fn start(drops_at_once: bool, drop_notice: fn(u64) -> Vec<u8>) {
    let sink = |bytes: &[u8]| super::write_to_stderr(bytes);
    if let Some(writer) = LogWriter::start(drops_at_once, sink, drop_notice) {
        // never called twice
        let _ = WRITER.set(writer);
    }
}

/// Writes one or more whole lines.
pub(super) fn write(bytes: &[u8]) {
    match WRITER.get() {
        Some(writer) => writer.write(bytes),
        None => {
            // there is no other place to report this
            let _ = super::write_to_stderr(bytes);
        }
    }
}

/// Waits until everything is written, or the reader has stalled.
pub(super) fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush();
    }
}

/// Writes everything to `to`, with as many attempts as necessary.
pub(super) fn write_all(mut to: impl io::Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // the descriptor was made non-blocking, and its reader is slow
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(BUSY),
            Err(error) => return Err(error),
        }
    }
    to.flush()
}

/// A thread and its queue.
#[derive(Debug)]
struct LogWriter {
    queue: Arc<LineQueue>,
    drops_at_once: bool,
}

#[derive(Debug, Default)]
struct LineQueue {
    state: Mutex<LineQueueState>,
    /// Notified when a line was added.
    filled: Condvar,
    /// Notified when a line was written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct LineQueueState {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The numbers of accepted and of written lines, without dropped ones.
    taken: u64,
    done: u64,
    /// The start of the current write.
    writing_since: Option<Instant>,
    /// The number of dropped lines that weren't reported yet.
    dropped: u64,
}

impl LineQueueState {
    /// Whether the reader has stalled.
    fn has_stalled(&self) -> bool {
        (self.writing_since).is_some_and(|since| since.elapsed() >= STALLED)
    }
}

impl LogWriter {
    fn start(
        drops_at_once: bool,
        sink: impl Fn(&[u8]) -> io::Result<()> + Send + 'static,
        drop_notice: fn(u64) -> Vec<u8>,
    ) -> Option<Self> {
        let queue = Arc::<LineQueue>::default();
        let shared = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("log".to_owned());
        // without a thread, the caller writes the lines
        (thread.spawn(move || shared.keep_writing(sink, drop_notice))).ok()?;
        Some(Self {
            queue,
            drops_at_once,
        })
    }

    fn write(&self, bytes: &[u8]) {
        let mut state = self.queue.state();
        if state.bytes + bytes.len() + LINE > ROOM && !state.lines.is_empty() {
            state.dropped += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.lines.push_back(bytes.to_vec());
        state.bytes += bytes.len() + LINE;
        state.taken += 1;
        let mine = state.taken;
        self.queue.filled.notify_one();
        if !self.drops_at_once {
            self.queue.wait(state, mine, Instant::now() + FLUSH);
        }
    }

    fn flush(&self) {
        let state = self.queue.state();
        let all = state.taken;
        self.queue.wait(state, all, Instant::now() + FLUSH);
    }
}

impl LineQueue {
    fn state(&self) -> MutexGuard<'_, LineQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `lines` are written, the reader has stalled, or it is `until`.
    fn wait(&self, mut state: MutexGuard<'_, LineQueueState>, lines: u64, until: Instant) {
        while state.done < lines && !state.has_stalled() {
            let now = Instant::now();
            let stalls = state.writing_since.map_or(until, |since| since + STALLED);
            let Some(left) = stalls.min(until).checked_duration_since(now) else {
                return;
            };
            let waited = self.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn keep_writing(
        &self,
        sink: impl Fn(&[u8]) -> io::Result<()>,
        drop_notice: fn(u64) -> Vec<u8>,
    ) {
        let mut state = self.state();
        loop {
            let Some(line) = state.lines.pop_front() else {
                state = (self.filled.wait(state)).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.bytes -= line.len() + LINE;
            state.writing_since = Some(Instant::now());
            drop(state);
            let was_written = sink(&line).is_ok();
            state = self.state();
            state.writing_since = None;
            if !was_written {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            } else if state.dropped > 0 {
                // as soon as the reader continues, and before later lines
                let message = drop_notice(std::mem::take(&mut state.dropped));
                state.bytes += message.len() + LINE;
                state.taken += 1;
                state.lines.push_front(message);
            }
            state.done += 1;
            self.written.notify_all();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    type Gate = (Sender<()>, Receiver<Vec<u8>>);

    /// A writer that blocks until it is released.
    fn gated() -> (Gate, impl Fn(&[u8]) -> io::Result<()>) {
        let ((open, gate), (out, lines)) = (channel::<()>(), channel());
        let sink = move |bytes: &[u8]| {
            gate.recv().map_err(io::Error::other)?;
            out.send(bytes.to_vec()).map_err(io::Error::other)
        };
        ((open, lines), sink)
    }

    fn drop_notice(dropped: u64) -> Vec<u8> {
        format!("{dropped} dropped\n").into_bytes()
    }

    #[test]
    fn a_reader_who_stops_costs_lines_and_no_time() {
        let ((open, lines), sink) = gated();
        let writer = LogWriter::start(true, sink, drop_notice).unwrap();
        let line = vec![b'x'; 64 << 10];
        let begun = Instant::now();
        for _ in 0..50 {
            writer.write(&line);
        }
        writer.write(b"one more\n");
        assert!(begun.elapsed() < STALLED, "{:?}", begun.elapsed());
        let before = log_lines_dropped();
        assert!(before >= 30, "{before}");
        // the reader continues: the queued lines, and the number of dropped ones
        for _ in 0..200 {
            let _ = open.send(());
        }
        drop(open);
        let first = lines.recv().unwrap();
        let notice = String::from_utf8(lines.recv().unwrap()).unwrap();
        assert_eq!(first, line);
        let dropped: usize = notice.strip_suffix(" dropped\n").unwrap().parse().unwrap();
        writer.write(b"the last\n");
        let rest: Vec<Vec<u8>> = lines.iter().take(51 - dropped).collect();
        assert_eq!(rest.last().unwrap(), b"the last\n");
    }

    #[test]
    fn whoever_waits_is_let_go_when_the_reader_stalls() {
        let ((open, lines), sink) = gated();
        let writer = LogWriter::start(false, sink, drop_notice).unwrap();
        open.send(()).unwrap();
        writer.write(b"read\n");
        assert_eq!(lines.try_recv().unwrap(), b"read\n"); // it is out already
        let begun = Instant::now();
        writer.write(b"not read\n");
        writer.write(b"not read\n");
        writer.flush();
        assert!(begun.elapsed() < 2 * STALLED, "{:?}", begun.elapsed());
        drop(open);
    }

    #[test]
    fn a_descriptor_that_takes_little_at_a_time_gets_all() {
        #[derive(Default)]
        struct Slow(Vec<u8>, usize);
        impl io::Write for &mut Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 % 3 {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    _ => {
                        self.0.extend(&bytes[..1]);
                        Ok(1)
                    }
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut slow = Slow::default();
        write_all(&mut slow, b"whole").unwrap();
        assert_eq!(slow.0, b"whole");
    }
}
