//! What gateways are asked for: puts of contents that occur once, with conditions or without; reads;
//! deletions; uploads that are given up.

use crate::faults::Faults;
use crate::history::History;
use crate::invariant::Told;
use crate::judge::Did;
use crate::plant::Plant;
use crate::watch::Watch;
use bytes::Bytes;
use client::{Client, DeleteError, GetError, PutError};
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strongroom_tests::Dice;
use types::wire::metadata::{Bucket, Condition, CopySource, EtagMatch, Tags, Wanted};
use types::{Attributes, ByteCount, ObjectKey};

/// How many keys there are.
pub(crate) const KEYS: u64 = 6;
/// So many of them are used all the time, the first most, and the others seldom: what is old must last, too.
const BUSY: u64 = 4;
const SIZES: [u64; 12] = [
    0,
    1,
    4095,
    4096,
    4097,
    65_535,
    65_536,
    65_537,
    300_000,
    1 << 20,
    (1 << 20) + 1,
    5 << 20,
];
const PIECE: usize = 128 << 10;
/// More than a chunk, and than a slow reader reads ahead.
const LONG: u64 = 5 << 20;

/// One gateway at work.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) client: Arc<Client>,
    pub(crate) bucket: Bucket,
    pub(crate) history: Arc<History>,
    /// Numbers contents.
    pub(crate) next: Arc<AtomicU64>,
    pub(crate) faults: Faults,
    pub(crate) watch: Watch,
    pub(crate) plant: Option<Plant>,
}

/// The bytes of a content: nothing in it is like another.
fn content(number: u64, length: u64) -> Bytes {
    let length = usize::try_from(length).expect("it fits into memory");
    let mut dice = Dice::new(number << 32);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.next_word().to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

fn etag(number: u64, length: u64) -> String {
    format!("{number}-{length}")
}

/// The number and length that an ETag of ours tells.
fn told(etag: &str) -> Option<(u64, u64)> {
    let (number, length) = etag.split_once('-')?;
    Some((number.parse().ok()?, length.parse().ok()?))
}

pub(crate) fn name(key: u64) -> ObjectKey {
    let name = format!("key-{key}");
    name.try_into().expect("a name")
}

impl Worker {
    /// Does so many things, one after the other.
    pub(crate) async fn work(self, mut dice: Dice, times: u64) {
        let mut known = None;
        for _ in 0..times {
            let key = match dice.below(8) {
                0 => BUSY + dice.below(KEYS - BUSY),
                1..5 => 0,
                _ => dice.below(BUSY),
            };
            match dice.below(20) {
                0..7 => self.put(key, &mut dice, Only::Always).await,
                7 => self.put(key, &mut dice, Only::Absent).await,
                8 => {
                    let only = known.map_or(Only::Absent, Only::Current);
                    self.put(key, &mut dice, only).await;
                }
                9 => self.give_up(key, &mut dice).await,
                10 | 11 => self.delete(key).await,
                12 => self.copy(key, dice.below(BUSY), &mut dice).await,
                _ => known = self.get(key).await.unwrap_or(None),
            }
            tokio::time::sleep(Duration::from_millis(dice.below(150))).await;
        }
    }

    async fn put(&self, key: u64, dice: &mut Dice, only: Only) {
        // Some clients are slow: much happens between their first chunk and their commit.
        let (length, pause) = if dice.below(6) == 0 {
            (LONG, Duration::from_millis(2000 + dice.below(6000)))
        } else {
            (*dice.pick(&SIZES), Duration::ZERO)
        };
        self.put_of(key, length, pause, only).await;
    }

    async fn put_of(&self, key: u64, length: u64, pause: Duration, only: Only) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let did = match only {
            Only::Always => Did::Wrote(Some(number)),
            Only::Absent => Did::Swapped(None, number),
            Only::Current((current, _)) => Did::Swapped(Some(current), number),
        };
        let begun = self.history.begin(key, did);
        let answer = self.send(key, number, length, pause, only).await;
        match answer {
            Ok(()) => self.history.end(begun, Some(did)),
            Err(PutError::OutcomeUnknown(_)) => {}
            Err(PutError::ConditionFailed) => {
                let other = match only {
                    Only::Current((current, _)) => Some(current),
                    _ => None,
                };
                self.history.end(begun, Some(Did::FoundNot(other)));
            }
            Err(PutError::NoSuchObject) => self.history.end(begun, Some(Did::Found(None))),
            Err(PutError::SlowDown(_)) => self.history.end(begun, None),
            Err(other) => self.history.wrong(format!("a put: {other:?}")),
        }
    }

    async fn send(
        &self,
        key: u64,
        number: u64,
        length: u64,
        pause: Duration,
        only: Only,
    ) -> Result<(), PutError> {
        let declared = Some(ByteCount::new(length));
        let mut upload = self.client.put(&self.bucket, name(key), declared).await?;
        let bytes = content(number, length);
        for at in (0..bytes.len()).step_by(PIECE) {
            let end = bytes.len().min(at + PIECE);
            if end == bytes.len() {
                tokio::time::sleep(pause).await;
            }
            upload.write(bytes.slice(at..end)).await?;
        }
        let attributes = Attributes {
            etag: etag(number, length),
            ..Attributes::default()
        };
        let condition = match only {
            Only::Always => Condition::default(),
            Only::Absent => Condition {
                differs: Some(EtagMatch::Any),
                ..Condition::default()
            },
            Only::Current((number, length)) => Condition {
                matches: Some(EtagMatch::OneOf(vec![etag(number, length)])),
                ..Condition::default()
            },
        };
        upload
            .finish(attributes, Tags::default(), condition)
            .await?;
        Ok(())
    }

    /// An upload whose client goes away in the middle.
    async fn give_up(&self, key: u64, dice: &mut Dice) {
        let Ok(mut upload) = self.client.put(&self.bucket, name(key), None).await else {
            return;
        };
        let bytes = content(u64::MAX, 100_000 + dice.below(5 << 20));
        self.faults.note("upload given up");
        let _lost = upload.write(bytes).await;
        tokio::time::sleep(Duration::from_millis(dice.below(20))).await;
    }

    async fn delete(&self, key: u64) {
        let begun = self.history.begin(key, Did::Wrote(None));
        let name = name(key);
        let deleted = self
            .client
            .delete(&self.bucket, &name, Condition::default());
        match deleted.await {
            Ok(()) => self.history.end(begun, Some(Did::Wrote(None))),
            Err(DeleteError::SlowDown(_)) => {}
            Err(other) => self.history.wrong(format!("a deletion: {other:?}")),
        }
    }

    /// Makes one key show what another shows; which is deleted at the same time, now and then.
    async fn copy(&self, from: u64, to: u64, dice: &mut Dice) {
        let head = self
            .client
            .head(&self.bucket, &name(from), Wanted::All)
            .await;
        let Ok(head) = head else { return };
        let (number, _) = told(&head.attributes.etag).expect("an ETag of ours");
        let did = Did::Wrote(Some(number));
        let begun = self.history.begin(to, did);
        let source = CopySource {
            bucket: self.bucket.id,
            key: name(from),
            version: head.version,
        };
        let copied = self.client.copy(
            source,
            &self.bucket,
            name(to),
            head.attributes,
            Tags::default(),
            Condition::default(),
        );
        let raced = dice.below(3) == 0;
        let deleted = async {
            if raced {
                self.delete(from).await;
            }
        };
        let (answer, ()) = futures::join!(copied, deleted);
        match answer {
            Ok(_) => {
                self.faults.note("copied object");
                self.history.end(begun, Some(did));
            }
            Err(PutError::OutcomeUnknown(_)) => {}
            Err(
                PutError::SlowDown(_)
                | PutError::NoSuchObject
                | PutError::SourceChanged
                | PutError::NotShareable,
            ) => self.history.end(begun, None),
            Err(other) => self.history.wrong(format!("a copy: {other:?}")),
        }
    }

    /// Reads a key: what was found, if that is known.
    pub(crate) async fn get(&self, key: u64) -> Result<Option<(u64, u64)>, GetError> {
        // What it will have found is not known yet; without an answer it says nothing.
        let begun = self.history.begin(key, Did::Found(None));
        let read = self.read(key).await;
        let did = match &read {
            Ok(found) => Some(Did::Found(found.map(|(number, _)| number))),
            Err(_) => None,
        };
        self.history.end(begun, did);
        read
    }

    /// Reads so slowly that what is read was deleted and has left the disks meanwhile, which `gone` waits for:
    /// the reader must not ask the disks for it.
    ///
    /// # Errors
    /// When it does.
    pub(crate) async fn read_slowly(
        &self,
        key: u64,
        gone: impl Future<Output = Result<(), String>>,
    ) -> Result<(), String> {
        self.put_of(key, LONG, Duration::ZERO, Only::Always).await;
        let found = self.client.get(&self.bucket, &name(key), Wanted::All).await;
        let mut body = found
            .map_err(|error| format!("a slow read: {error:?}"))?
            .body;
        let first = body.try_next().await;
        first.map_err(|error| format!("the beginning of a slow read: {error:?}"))?;
        self.delete(key).await;
        gone.await?;
        loop {
            match body.try_next().await {
                Ok(Some(_)) => {}
                Err(GetError::NoSuchObject) => return Ok(()),
                other => return Err(format!("the end of a slow read: {other:?}")),
            }
        }
    }

    /// What was read, or what a disk says that nobody checked.
    fn as_told(&self, piece: Bytes) -> Bytes {
        if self.plant != Some(Plant::UncheckedPlaintext) {
            return piece;
        }
        let mut bytes = piece.to_vec();
        if let Some(byte) = bytes.first_mut() {
            *byte ^= 1;
        }
        bytes.into()
    }

    /// Reads a key; the history does not hear of it.
    pub(crate) async fn read(&self, key: u64) -> Result<Option<(u64, u64)>, GetError> {
        let found = self.client.get(&self.bucket, &name(key), Wanted::All).await;
        let download = match found {
            Err(GetError::NoSuchObject) => return Ok(None),
            other => other?,
        };
        let (number, length) = told(&download.located.attributes.etag).expect("an ETag of ours");
        let expected = content(number, length);
        let (mut at, mut body) = (0, download.body);
        loop {
            let piece = body.try_next().await?;
            let Some(piece) = piece else { break };
            let piece = self.as_told(piece);
            if expected.get(at..at + piece.len()) != Some(&piece[..]) {
                let (content, behind) = (number, at);
                self.watch.told(&Told::ReadWrongly { content, behind });
            }
            at += piece.len();
        }
        if at != expected.len() {
            let wrong = format!("{at} bytes of content {number}, which has {length}");
            self.history.wrong(wrong);
        }
        Ok(Some((number, length)))
    }
}

/// On which condition something is put.
#[derive(Clone, Copy)]
enum Only {
    Always,
    Absent,
    /// While this is the current content.
    Current((u64, u64)),
}
