//! Answers whose records are well and whose wrapping isn't: they fail, or are read all the same, and lose nothing.

use auditlake::model::FailureKind;
use auditlake::sim::{Fault, Written, avaya, everyware, genesys, liveperson};

use super::worlds::*;
use crate::support::rig::{Rig, at};

/// What is to come of an answer that was so changed.
#[derive(Debug, Clone, Copy)]
enum Comes {
    /// All of it lands.
    Right,
    /// The run fails as this.
    To(FailureKind),
}

use Comes::{Right, To};

type Change = (&'static str, fn(&mut Written), Comes);

fn replace(answer: &mut Written, from: &str, to: &str) {
    let text = String::from_utf8(std::mem::take(&mut answer.body)).unwrap();
    // the first of them stands before all records, or is the last of the answer
    answer.body = text.replacen(from, to, 1).into_bytes();
}

fn replace_last(answer: &mut Written, from: &str, to: &str) {
    let text = String::from_utf8(std::mem::take(&mut answer.body)).unwrap();
    let at = text.rfind(from).unwrap();
    answer.body = format!("{}{to}{}", &text[..at], &text[at + from.len()..]).into_bytes();
}

fn with_mark(answer: &mut Written) {
    answer.body.splice(0..0, *b"\xef\xbb\xbf");
}

fn with_more(answer: &mut Written) {
    replace(
        answer,
        "{",
        r#"{"":null,"new":{"entities":[],"audit":[1]},"_x":[[]],"#,
    );
}

fn with_tail(answer: &mut Written) {
    answer.body.extend_from_slice(b"\0");
}

fn in_utf_16(answer: &mut Written) {
    let text = String::from_utf8(std::mem::take(&mut answer.body)).unwrap();
    answer.body = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
}

async fn see<W: World>(changes: &[Change]) {
    for &(name, change, comes) in changes {
        let mut rig: Rig<W> = rig(60).await;
        let fault = Fault::rewritten(move |_, answer| change(answer));
        rig.sim.faults().always(W::DATA, fault);
        let ended = attempt(&rig, at(NOW)).await;
        match comes {
            Right => assert_eq!(ended.message, "", "{name}"),
            To(kind) => {
                assert_eq!(ended.kinds, [kind], "{name}: {}", ended.message);
                assert!(
                    ended.message.contains("answer"),
                    "{name}: {}",
                    ended.message
                );
            }
        }
        rig.sim.faults().clear();
        renew(&mut rig, impatient());
        rig.tick(at(NOW)).await;
        rig.assert_holds(rig.sim.truth()).await;
        assert_eq!(rig.quarantine().await.len(), 0, "{name}");
    }
}

#[tokio::test]
async fn genesys_cloud() {
    see::<genesys::Genesys>(&[
        ("a byte order mark", with_mark, Right),
        ("more members", with_more, Right),
        ("a byte behind", with_tail, To(FailureKind::Data)),
        ("UTF-16", in_utf_16, Right),
        (
            "a list that is an object",
            |a| replace(a, r#""entities":["#, r#""entities":{"a":["#),
            To(FailureKind::Data),
        ),
        (
            "a list of another name",
            |a| {
                replace(a, r#""entities":["#, r#""Entities":["#);
                replace(a, r#""pageSize""#, r#""PageSize""#);
            },
            To(FailureKind::Data),
        ),
        (
            "a list that is text",
            |a| a.body = br#"{"pageSize":500,"entities":"none"}"#.to_vec(),
            To(FailureKind::Data),
        ),
        (
            "a list twice",
            |a| replace(a, r#""entities":["#, r#""entities":[],"entities":["#),
            To(FailureKind::Data),
        ),
        (
            "a cursor that is an object",
            |a| replace(a, "{", r#"{"cursor":{},"#),
            To(FailureKind::Data),
        ),
        (
            "a cursor that is a list",
            |a| replace(a, "{", r#"{"cursor":["x"],"#),
            To(FailureKind::Data),
        ),
        (
            "sizes of other types",
            |a| replace(a, "{", r#"{"total":{},"pageCount":"many","#),
            Right,
        ),
    ])
    .await;
}

#[tokio::test]
async fn avaya_axp() {
    see::<avaya::Avaya>(&[
        ("a byte order mark", with_mark, Right),
        ("more members", with_more, Right),
        ("a byte behind", with_tail, To(FailureKind::Data)),
        ("UTF-16", in_utf_16, Right),
        (
            "a list that is an object",
            |a| replace(a, r#""auditRecords":["#, r#""auditRecords":{"a":["#),
            To(FailureKind::Data),
        ),
        (
            "a list that is text",
            |a| a.body = br#"{"auditRecords":"none"}"#.to_vec(),
            To(FailureKind::Data),
        ),
        (
            "pages that are text",
            |a| replace(a, r#""pagination":{"#, r#""pagination":"none","other":{"#),
            Right,
        ),
        (
            "a total that is none",
            |a| replace(a, r#""total":"#, r#""total":[],"was":"#),
            Right,
        ),
        (
            "a page that is none",
            |a| replace(a, r#""pageNumber":"#, r#""pageNumber":{},"was":"#),
            Right,
        ),
    ])
    .await;
}

#[tokio::test]
async fn live_person() {
    see::<liveperson::LivePerson>(&[
        ("a byte order mark", with_mark, Right),
        ("more members", with_more, Right),
        ("a byte behind", with_tail, To(FailureKind::Data)),
        ("UTF-16", in_utf_16, Right),
        (
            "a list that is an object",
            |a| replace(a, r#""auditData":["#, r#""auditData":{"a":["#),
            To(FailureKind::Data),
        ),
        (
            "a list that is text",
            |a| a.body = br#"{"data":{"auditData":"none"}}"#.to_vec(),
            To(FailureKind::Data),
        ),
        (
            "no list",
            |a| a.body = br#"{"data":{}}"#.to_vec(),
            To(FailureKind::Data),
        ),
        (
            "no data",
            |a| a.body = br#"{"data":null}"#.to_vec(),
            To(FailureKind::Data),
        ),
        (
            "errors that are text",
            |a| replace_last(a, "}", r#","errors":"yes"}"#),
            To(FailureKind::Transient),
        ),
        (
            "no errors",
            |a| replace_last(a, "}", r#","errors":[]}"#),
            Right,
        ),
    ])
    .await;
}

#[tokio::test]
async fn everyware_cloud() {
    see::<everyware::Everyware>(&[
        ("a byte order mark", with_mark, Right),
        ("more members", with_more, Right),
        ("a byte behind", with_tail, To(FailureKind::Data)),
        ("UTF-16", in_utf_16, To(FailureKind::Data)),
        (
            "a list of another name",
            |a| replace(a, r#""audit":["#, r#""audits":["#),
            To(FailureKind::Data),
        ),
        (
            "a list that is text",
            |a| a.body = br#"{"audit":"none"}"#.to_vec(),
            To(FailureKind::Data),
        ),
    ])
    .await;
}
