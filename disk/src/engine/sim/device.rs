//! The trait's face: what each call does to the state.

use super::SimDisk;
use super::crash::{Change, Content, NameChange};
use super::script::{Call, Fate, Operation, call};
use super::state::{Stalled, power_cut};
use crate::buffer::Buffer;
use crate::device::{Disk, Entry, File, Pending};
use bytes::Bytes;
use futures::FutureExt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::oneshot;
use types::{ByteCount, ByteOffset};

impl Disk for SimDisk {
    fn create(&self, name: &str) -> Pending<Arc<dyn File>> {
        let name = name.to_owned();
        self.act(call(Operation::Create, &name), move |disk, state| {
            if state.names.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let file = state.files.len();
            state.files.push(Content::settled(Vec::new()));
            state.rename_now(NameChange::Create {
                name: name.clone(),
                file,
            });
            Ok(disk.file(file, name))
        })
    }

    fn open(&self, name: &str) -> Pending<Arc<dyn File>> {
        let name = name.to_owned();
        self.act(call(Operation::Open, &name), move |disk, state| {
            Ok(disk.file(state.lookup(&name)?, name))
        })
    }

    fn list(&self) -> Pending<Vec<Entry>> {
        self.act(call(Operation::List, ""), |_, state| {
            let entry = |(name, id): (&String, &usize)| Entry {
                name: name.clone(),
                length: ByteCount::of(&state.files[*id].now),
            };
            Ok(state.names.iter().map(entry).collect())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Pending<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.act(call(Operation::Rename, &from), move |_, state| {
            let file = state.lookup(&from)?;
            state.rename_now(NameChange::Rename { from, to, file });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Pending<()> {
        let name = name.to_owned();
        self.act(call(Operation::Remove, &name), move |_, state| {
            let file = state.lookup(&name)?;
            state.rename_now(NameChange::Remove { name, file });
            Ok(())
        })
    }

    fn sync_folder(&self) -> Pending<()> {
        let disk = self.clone();
        async move {
            let mut state = disk.state();
            match state.fate(call(Operation::SyncFolder, ""))? {
                Fate::Fail(errno) => Err(io::Error::from_raw_os_error(errno)),
                Fate::CutPower => {
                    state.cut_power();
                    Err(power_cut())
                }
                Fate::Proceed | Fate::Stall => {
                    state.durable_names = state.names.clone();
                    state.pending_names.clear();
                    Ok(())
                }
            }
        }
        .boxed()
    }

    fn free(&self) -> Pending<ByteCount> {
        self.act(call(Operation::Free, ""), |_, state| {
            let capacity = state.capacity.unwrap_or(1 << 40);
            Ok(ByteCount::new(capacity.saturating_sub(state.used())))
        })
    }

    fn attached(&self) -> Pending<bool> {
        self.act(
            call(Operation::Attached, ""),
            |_, state| Ok(!state.detached),
        )
    }

    fn engine(&self) -> String {
        "simulated".to_owned()
    }
}

/// An open file.
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) id: usize,
    pub(super) name: String,
}

impl SimFile {
    fn call(&self, operation: Operation, at: ByteOffset, length: ByteCount) -> Call {
        Call {
            at,
            length,
            ..call(operation, &self.name)
        }
    }

    fn change(&self, operation: Operation, at: ByteOffset, change: Change) -> Pending<()> {
        let length = ByteCount::new(change.end().saturating_sub(index(at)) as u64);
        let id = self.id;
        let call = self.call(operation, at, length);
        self.disk
            .act(call, move |_, state| state.change(id, change))
    }
}

impl File for SimFile {
    fn read(&self, at: ByteOffset, length: ByteCount) -> Pending<Bytes> {
        let id = self.id;
        let call = self.call(Operation::Read, at, length);
        self.disk.act(call, move |_, state| {
            let start = index(at);
            let bytes = state.files[id]
                .now
                .get(start..start + length.as_usize())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok(Buffer::copy_of(bytes).freeze())
        })
    }

    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        let (disk, id) = (self.disk.clone(), self.id);
        let call = self.call(Operation::Write, at, ByteCount::of(&data));
        let change = Change::Write {
            at: index(at),
            data: data.freeze(),
        };
        async move {
            let mut state = disk.state();
            state.beside_syncs += u64::from(state.syncing > 0);
            match state.fate(call)? {
                Fate::Proceed | Fate::Stall => state.change(id, change),
                Fate::CutPower => {
                    let _never_heard_of = state.change(id, change);
                    state.cut_power();
                    Err(power_cut())
                }
                Fate::Fail(errno) => {
                    let mut left = state.files[id].now.clone();
                    change.survive(&mut left, &mut state.random);
                    let data = Bytes::from(left);
                    state.files[id].change(Change::Write { at: 0, data });
                    Err(io::Error::from_raw_os_error(errno))
                }
            }
        }
        .boxed()
    }

    fn sync(&self) -> Pending<()> {
        let (disk, id) = (self.disk.clone(), self.id);
        let call = self.call(Operation::Sync, ByteOffset::ZERO, ByteCount::ZERO);
        async move {
            let (pending, under_way) = {
                let mut state = disk.state();
                let pending = state.files.get(id).map_or(0, |file| file.changes);
                match state.fate(call)? {
                    Fate::CutPower => {
                        state.cut_power();
                        return Err(power_cut());
                    }
                    Fate::Fail(errno) => return Err(state.fail_sync(id, errno)),
                    Fate::Proceed => {
                        state.syncing += 1;
                        (pending, Err(state.sync_turns))
                    }
                    Fate::Stall => {
                        let (done, waiting) = oneshot::channel();
                        state.stalled.push(Stalled {
                            sync: Some((id, pending)),
                            done,
                        });
                        (pending, Ok(waiting))
                    }
                }
            };
            match under_way {
                Ok(stalled) => stalled.await.unwrap_or_else(|_| Err(power_cut())),
                Err(turns) => {
                    pause(turns).await;
                    let mut state = disk.state();
                    state.syncing -= 1;
                    state.finish_sync(id, pending)
                }
            }
        }
        .boxed()
    }

    fn set_length(&self, length: ByteCount) -> Pending<()> {
        let change = Change::Length(length.as_usize());
        self.change(Operation::SetLength, ByteOffset::ZERO, change)
    }

    fn allocate(&self, length: ByteCount) -> Pending<()> {
        let change = Change::Allocate(length.as_usize());
        self.change(Operation::Allocate, ByteOffset::ZERO, change)
    }

    fn punch(&self, at: ByteOffset, length: ByteCount) -> Pending<()> {
        let change = Change::Punch {
            at: index(at),
            length: length.as_usize(),
        };
        self.change(Operation::Punch, at, change)
    }

    fn length(&self) -> Pending<ByteCount> {
        let id = self.id;
        let call = self.call(Operation::Length, ByteOffset::ZERO, ByteCount::ZERO);
        self.disk.act(call, move |_, state| {
            Ok(ByteCount::of(&state.files[id].now))
        })
    }

    fn allocated(&self) -> Pending<ByteCount> {
        let id = self.id;
        let call = self.call(Operation::Length, ByteOffset::ZERO, ByteCount::ZERO);
        self.disk.act(call, move |_, state| {
            Ok(ByteCount::new(state.files[id].space() as u64))
        })
    }

    fn links(&self) -> Pending<u64> {
        let id = self.id;
        let call = self.call(Operation::Links, ByteOffset::ZERO, ByteCount::ZERO);
        self.disk.act(call, move |_, state| {
            Ok(state.names.values().filter(|file| **file == id).count() as u64)
        })
    }
}

/// Lets whatever else is ready go on, so many times.
async fn pause(turns: u32) {
    let mut left = turns;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn index(at: ByteOffset) -> usize {
    usize::try_from(at.get()).expect("a simulated disk fits in memory")
}
