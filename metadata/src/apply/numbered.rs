//! Numbered requests: each is applied once.
//!
//! Its answer is stored until its session says that it has it. The same request under the same number
//! gets the same answer and changes nothing; another request under that number is refused. That the
//! proposer had an old view of an object is no answer: the request is judged anew and proposed again.

use super::sessions::{live, trailing_number};
use super::{Applied, Stop, answered};
use crate::asked::Asked;
use crate::level;
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{REPLIES, ReplyRow, SESSIONS, SessionRow, TableKey};
use crate::txn::{Rows, Txn};
use types::id::{RequestId, SessionId};

/// How far a request's number may be ahead of the oldest unanswered one.
pub const MAX_UNANSWERED: u64 = 4096;

/// Most stored answers that one request forgets: more than it adds, so that they do not pile up.
const FORGOTTEN_PER_REQUEST: usize = 64;

/// What a numbered request gets without being applied: its stored answer, or that its session or its
/// number is refused. `None` when it would be applied.
///
/// # Errors
/// When the store is broken.
pub fn foreseen(
    rows: &impl Rows,
    request: &RequestId,
    asked: Asked,
) -> Result<Option<Reply>, StoreError> {
    match admit(rows, request, asked) {
        Ok(Admitted::New { .. }) => Ok(None),
        Ok(Admitted::Answered(reply)) => Ok(Some(reply)),
        Err(Stop::Refused(refusal)) => Ok(Some(Reply::Refused(refusal))),
        Err(Stop::Broken(error)) => Err(error),
    }
}

/// Applies a numbered request, unless it was applied before.
pub(super) fn once(
    txn: &mut Txn<'_>,
    request: &RequestId,
    asked: Asked,
    body: impl FnOnce(&mut Txn<'_>) -> Applied,
) -> Applied {
    let (mut session, answered_below) = match admit(txn, request, asked)? {
        Admitted::Answered(reply) => return Ok(reply),
        Admitted::New {
            session,
            answered_below,
        } => (session, answered_below),
    };
    let reply = answered(body(txn))?;
    if answered_below != session.answered_below {
        session.answered_below = answered_below;
        let below = forget_answers(txn, request.session, &session)?;
        if level::of_namespace(txn)? >= level::FORGETTING {
            session.forgotten_below = below;
        }
        SESSIONS.put(txn, &request.session, &session);
    }
    if reply != Reply::Refused(Refusal::HeadMoved) {
        let row = ReplyRow {
            asked,
            reply: reply.clone(),
        };
        REPLIES.put(txn, &(request.session, request.sequence), &row);
    }
    Ok(reply)
}

/// What a request's number says of it.
enum Admitted {
    /// It was applied, and was answered so.
    Answered(Reply),
    /// It is to be applied.
    New {
        /// Its session.
        session: SessionRow,
        /// What of the session's answers may be forgotten with it.
        answered_below: u64,
    },
}

fn admit(rows: &impl Rows, request: &RequestId, asked: Asked) -> Result<Admitted, Stop> {
    let session = live(rows, request.session)?;
    let number = (request.session, request.sequence);
    if let Some(row) = REPLIES.get(rows, &number)? {
        return if row.asked == asked {
            Ok(Admitted::Answered(row.reply))
        } else {
            Err(Refusal::NumberUsed.into())
        };
    }
    if request.sequence < session.answered_below {
        return Err(Refusal::AnswerForgotten.into());
    }
    // A number above its own request's would forget the answer that is about to be given.
    let answered_below = request.answered_below.min(request.sequence);
    let answered_below = answered_below.max(session.answered_below);
    if request.sequence - answered_below >= MAX_UNANSWERED {
        return Err(Refusal::TooManyUnanswered.into());
    }
    Ok(Admitted::New {
        session,
        answered_below,
    })
}

/// Forgets answers that its gateway has, as many as one request may; below what none is stored any more. It does not
/// look where they were forgotten before: within a batch they are all still there, to be stepped over.
fn forget_answers(
    txn: &mut Txn<'_>,
    session: SessionId,
    row: &SessionRow,
) -> Result<u64, StoreError> {
    let from = (session, row.forgotten_below).bytes();
    let to = (session, row.answered_below).bytes();
    let forgotten: Vec<_> = REPLIES
        .range(txn, &from, &to)
        .take(FORGOTTEN_PER_REQUEST)
        .collect::<Result<_, _>>()?;
    let all = forgotten.len() < FORGOTTEN_PER_REQUEST;
    let mut below = row.answered_below;
    for (key, _) in forgotten {
        let number = trailing_number(&key);
        REPLIES.delete(txn, &(session, number));
        if !all {
            below = number + 1;
        }
    }
    Ok(below)
}
