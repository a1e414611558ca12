//! What this gateway knows of access keys: asked of the metadata service, and believed for half a second.
//!
//! ```text
//! request -> slot of its key -- answered less than KEEP ago -----------------------> caller, or no such key
//!                 `------------ else one asks, all others wait for that answer --'
//! ```
//!
//! What always holds: a request is let in only on an answer that was asked for at most [`KEEP`] before the
//! request came, or later. So a key that was disabled or removed opens nothing half a second after. A
//! request that was let in goes on to its end.
//!
//! That there is no such key is believed as long; that nobody answered is told to those who waited and
//! believed by nobody else. No more than [`MOST`] keys are remembered, and an id that no key can have is
//! never asked for.

use crate::identity::Caller;
use s3s::{S3ErrorCode, S3Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use types::wire::accounts::{Accounts, is_key_id};
use types::wire::metadata::MetadataError;

/// An answer is believed for so long from when it was asked for.
const KEEP: Duration = Duration::from_millis(500);
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most keys that are remembered: each is some hundred bytes, and anybody may name a key.
const MOST: usize = 10_000;

/// Access keys that were asked for lately.
pub(crate) struct Known {
    accounts: Arc<dyn Accounts>,
    slots: Mutex<Slots>,
}

struct Slots {
    by_key: HashMap<String, Arc<Slot>>,
    swept: Instant,
}

/// The last answer for one key. Held while somebody asks, so that one does.
type Slot = tokio::sync::Mutex<Option<Answer>>;

#[derive(Clone)]
struct Answer {
    asked: Instant,
    outcome: Outcome,
}

#[derive(Clone)]
enum Outcome {
    /// It acts for them.
    Caller(Arc<Caller>),
    /// There is none of that id, or it is disabled.
    NoKey,
    /// Nobody could say.
    Unanswered,
    /// What is stored of it does not open.
    Damaged,
}

impl Answer {
    /// Whether it answers a request that came at `came`, at `now`: what was asked for after the request
    /// came is as good as asking for it.
    fn answers(&self, came: Instant, now: Instant) -> bool {
        let believed = match self.outcome {
            Outcome::Caller(_) | Outcome::NoKey => now.duration_since(self.asked) <= KEEP,
            Outcome::Unanswered | Outcome::Damaged => false,
        };
        believed || self.asked >= came
    }
}

impl Known {
    /// Nothing yet.
    pub(crate) fn new(accounts: Arc<dyn Accounts>) -> Self {
        let slots = Slots {
            by_key: HashMap::new(),
            swept: Instant::now(),
        };
        Self {
            accounts,
            slots: Mutex::new(slots),
        }
    }

    /// Who acts with a key.
    ///
    /// # Errors
    /// `InvalidAccessKeyId`; `SlowDown` when nobody can say, `InternalError` when its row is damaged.
    pub(crate) async fn caller(&self, id: &str) -> S3Result<Arc<Caller>> {
        if !is_key_id(id) {
            return Err(S3ErrorCode::InvalidAccessKeyId.into());
        }
        let came = Instant::now();
        let slot = self.slot(id, came);
        let mut answer = slot.lock().await;
        let outcome = match &*answer {
            Some(known) if known.answers(came, Instant::now()) => known.outcome.clone(),
            _ => {
                let asked = Instant::now();
                let outcome = self.ask(id).await;
                *answer = Some(Answer {
                    asked,
                    outcome: outcome.clone(),
                });
                outcome
            }
        };
        match outcome {
            Outcome::Caller(caller) => Ok(caller),
            Outcome::NoKey => Err(S3ErrorCode::InvalidAccessKeyId.into()),
            Outcome::Unanswered => Err(S3ErrorCode::SlowDown.into()),
            Outcome::Damaged => Err(S3ErrorCode::InternalError.into()),
        }
    }

    async fn ask(&self, id: &str) -> Outcome {
        let asked = self.accounts.credential(id.to_owned());
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(found)) => match found.as_ref().and_then(Caller::of) {
                Some(caller) => Outcome::Caller(Arc::new(caller)),
                None => Outcome::NoKey,
            },
            Ok(Err(error @ MetadataError::Unavailable(_))) => {
                tracing::warn!(%error, "an access key could not be looked up");
                Outcome::Unanswered
            }
            Ok(Err(error)) => {
                tracing::error!(key = id, %error, "an access key could not be looked up");
                Outcome::Damaged
            }
            Err(_) => {
                tracing::warn!("an access key was not looked up within {PATIENCE:?}");
                Outcome::Unanswered
            }
        }
    }

    fn slot(&self, id: &str, now: Instant) -> Arc<Slot> {
        let mut slots = self.slots();
        if slots.by_key.len() >= MOST || now.duration_since(slots.swept) > KEEP {
            slots.sweep(now);
        }
        if let Some(slot) = slots.by_key.get(id) {
            return slot.clone();
        }
        let slot = Arc::new(Slot::default());
        slots.by_key.insert(id.to_owned(), slot.clone());
        slot
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Forgets what is not believed any more, secrets with it; and where there is too much of what is, all
    /// that nobody is looking at.
    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        self.by_key.retain(|_, slot| is_wanted(slot, now));
        if self.by_key.len() >= MOST {
            self.by_key.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
    }
}

fn is_wanted(slot: &Arc<Slot>, now: Instant) -> bool {
    let believed = |slot: &Slot| {
        let answer = slot.try_lock();
        answer.is_ok_and(|answer| {
            answer
                .as_ref()
                .is_some_and(|answer| answer.answers(now, now))
        })
    };
    Arc::strong_count(slot) > 1 || believed(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::credential;
    use futures::FutureExt;
    use futures::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use types::TenantId;
    use types::wire::accounts::{Credential, KeyInfo, KeyState, NewKey, User};

    /// Accounts that hold one key, take a while to say so, and count how often they are asked.
    struct Fake {
        held: Mutex<Result<Option<Credential>, MetadataError>>,
        takes: Duration,
        asked: AtomicUsize,
    }

    impl Fake {
        fn holding(id: &str, takes: Duration) -> (Arc<Self>, Known) {
            let held = Mutex::new(Ok(Some(credential(id, KeyState::Active))));
            let fake = Arc::new(Self {
                held,
                takes,
                asked: AtomicUsize::new(0),
            });
            (fake.clone(), Known::new(fake))
        }

        fn now(&self, held: Result<Option<Credential>, MetadataError>) {
            *self.held.lock().expect("whole") = held;
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    type Told<'a, T> = types::wire::metadata::Answer<'a, T>;

    impl Accounts for Fake {
        fn add_user(&self, _: String, _: TenantId) -> Told<'_, User> {
            unreachable!("gateways change nothing")
        }
        fn users(&self) -> Told<'_, Vec<User>> {
            unreachable!("gateways list nobody")
        }
        fn remove_user(&self, _: String) -> Told<'_, ()> {
            unreachable!("gateways change nothing")
        }
        fn add_key(&self, _: NewKey) -> Told<'_, Credential> {
            unreachable!("gateways change nothing")
        }
        fn keys(&self, _: Option<String>) -> Told<'_, Vec<KeyInfo>> {
            unreachable!("gateways list nothing")
        }
        fn set_key_state(&self, _: String, _: KeyState) -> Told<'_, ()> {
            unreachable!("gateways change nothing")
        }
        fn remove_key(&self, _: String) -> Told<'_, ()> {
            unreachable!("gateways change nothing")
        }
        fn credential(&self, id: String) -> Told<'_, Option<Credential>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            async move {
                let held = self.held.lock().expect("whole").clone();
                tokio::time::sleep(self.takes).await;
                Ok(held?.filter(|held| held.key.id == id))
            }
            .boxed()
        }
    }

    async fn told(known: &Known, id: &str) -> String {
        match known.caller(id).await {
            Ok(caller) => caller.id().to_owned(),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    /// A key that was disabled or removed opens nothing half a second later, a new one is known then, and
    /// in between the service is asked once in half a second for each key, whether it is there or not.
    /// Method: paused time; a request every 50 ms while the key is taken away and given back.
    #[tokio::test(start_paused = true)]
    async fn a_revoked_key_is_refused_within_a_second() {
        let (fake, known) = Fake::holding("key", Duration::ZERO);
        let step = Duration::from_millis(50);
        let states = [
            Ok(None),
            Ok(Some(credential("key", KeyState::Active))),
            Ok(Some(credential("key", KeyState::Disabled))),
            Ok(Some(credential("key", KeyState::Active))),
        ];
        assert_eq!(told(&known, "key").await, "user");
        for state in states {
            let active = matches!(&state, Ok(Some(held)) if held.key.state == KeyState::Active);
            let expected = if active { "user" } else { "InvalidAccessKeyId" };
            fake.now(state);
            let changed = Instant::now();
            let before = fake.asked();
            while changed.elapsed() < Duration::from_secs(2) {
                let answer = told(&known, "key").await;
                if changed.elapsed() > KEEP {
                    assert_eq!(answer, expected, "{:?}", changed.elapsed());
                }
                tokio::time::advance(step).await;
            }
            let asked = fake.asked() - before;
            assert!((2..=4).contains(&asked), "asked {asked} times in 2 s");
        }
    }

    /// Of many requests at once with one key, one asks; another key waits for none of them.
    /// Method: a service that takes longer than an answer is believed.
    #[tokio::test(start_paused = true)]
    async fn one_asks_for_all() {
        let (fake, known) = Fake::holding("key", Duration::from_secs(3));
        let begun = Instant::now();
        let all = join_all((0..100).map(|_| told(&known, "key"))).await;
        assert!(all.iter().all(|answer| answer == "user"));
        assert_eq!(fake.asked(), 1);
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        let (one, other) = tokio::join!(told(&known, "key"), told(&known, "other"));
        assert_eq!(
            (one.as_str(), other.as_str()),
            ("user", "InvalidAccessKeyId")
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(6));
        assert_eq!(fake.asked(), 3);
    }

    /// Who came after the question was asked asks again, and those who wait with it do not: an answer that
    /// took long says nothing of what was revoked meanwhile.
    /// Method: a slow service; the key is removed while the first answer is on its way.
    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_not_believed_for_long() {
        let (fake, known) = Fake::holding("key", Duration::from_secs(2));
        let late = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            fake.now(Ok(None));
            join_all((0..10).map(|_| told(&known, "key"))).await
        };
        let (first, late) = tokio::join!(told(&known, "key"), late);
        assert_eq!(first, "user");
        assert!(late.iter().all(|answer| answer == "InvalidAccessKeyId"));
        assert_eq!(fake.asked(), 2);
    }

    /// That nobody answers is told to those who wait and to nobody else.
    /// Method: an outage; many wait for it, and the next one finds it over. A service that never answers.
    #[tokio::test(start_paused = true)]
    async fn an_outage_is_not_remembered() {
        let (fake, known) = Fake::holding("key", Duration::from_millis(10));
        fake.now(Err(MetadataError::Unavailable("no leader".into())));
        let all = join_all((0..10).map(|_| told(&known, "key"))).await;
        assert!(all.iter().all(|answer| answer == "SlowDown"));
        assert_eq!(fake.asked(), 1);
        fake.now(Ok(Some(credential("key", KeyState::Active))));
        assert_eq!(told(&known, "key").await, "user");
        fake.now(Err(MetadataError::RowDamaged));
        tokio::time::advance(KEEP * 2).await;
        assert_eq!(told(&known, "key").await, "InternalError");

        let (_, known) = Fake::holding("key", Duration::MAX);
        let begun = Instant::now();
        assert_eq!(told(&known, "key").await, "SlowDown");
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    /// Whoever makes keys up fills no memory, and what no key can be named asks nobody.
    /// Method: three times as many ids as are remembered; ids with slashes, zeros and great length.
    #[tokio::test(start_paused = true)]
    async fn made_up_keys_are_forgotten() {
        let (fake, known) = Fake::holding("key", Duration::ZERO);
        for number in 0..MOST * 3 {
            assert_eq!(
                told(&known, &format!("AK{number}")).await,
                "InvalidAccessKeyId"
            );
            assert!(known.slots().by_key.len() <= MOST);
        }
        tokio::time::advance(KEEP * 2).await;
        assert_eq!(told(&known, "key").await, "user");
        assert_eq!(known.slots().by_key.len(), 1);
        let before = fake.asked();
        for id in ["", "a/b", "a\0", &"x".repeat(129)] {
            assert_eq!(told(&known, id).await, "InvalidAccessKeyId");
        }
        assert_eq!(fake.asked(), before);
    }
}
