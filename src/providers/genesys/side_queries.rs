//! The queries other than the feed: the service mapping, and the audits of an action.

use serde_json::json;

use super::answer::{entries, expect_success};
use super::call::{expand, mapping_call, realtime_mapping_call, sort};
use crate::providers::answer::text_of;
use crate::providers::call::post;
use crate::providers::{Answer, Call, Page, Refusal, SideQueries};

/// The side queries of Genesys Cloud.
#[derive(Debug)]
pub struct AuditCatalogue;

impl SideQueries for AuditCatalogue {
    fn catalogue_calls(&self) -> Vec<(&'static str, Call)> {
        vec![
            ("query", mapping_call()),
            ("realtime", realtime_mapping_call()),
        ]
    }

    fn related_call(&self, audit_id: &str, trustor_org_id: Option<&str>) -> Call {
        let mut body = json!({ "auditId": audit_id, "sort": sort() });
        if let Some(org) = trustor_org_id {
            body["trustorOrgId"] = org.into();
        }
        post(
            "/api/v2/audits/query/realtime/related",
            vec![expand()],
            body.to_string(),
        )
    }

    fn entries(&self, answer: Answer) -> Result<Page, Refusal> {
        expect_success(&answer)?;
        let text = text_of(answer)?;
        let records = entries(&text)?;
        Ok(Page {
            foreign: text.foreign(&records)?,
            text: text.text,
            records,
            ..Page::default()
        })
    }
}
