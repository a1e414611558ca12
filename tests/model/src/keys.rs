//! Keys outlive their use: a second, smaller model.
//!
//! ```text
//! KEK version:  active --rotate--> retired --scan begun later found no row--> destroyed
//! ```
//!
//! Three versions of one bucket's KEK, two rows, three blobs. A gateway is given a wrap under the
//! version that is active then, and commits it into a row whenever it likes. A rewrapper reads a
//! row under a retired version, unwraps, wraps under the active one, and writes it back later. A
//! scan visits the rows one by one while all this goes on; when it has found none under the retired
//! version, that version is destroyed.
//!
//! What must hold: each row opens, and to its own blob's key.

use std::fmt;

use crate::explore::Model;

/// A clause that keeps rows readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// `apply` refuses a wrap that has expired.
    WrapExpires,
    /// `apply` refuses a commit whose wrap is under a version that is not the active one.
    RetiredRefused,
    /// The scan that allows destruction began after the retirement.
    ScanAfterRetirement,
    /// … and found no row.
    ScanFindsNone,
    /// A rewrap is a compare-and-set on the wrap that it replaces.
    RewrapCompares,
    /// Sharpened: … and is refused, too, when the version that it brings was retired meanwhile.
    RewrapToActive,
}

/// How a row became unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Its wrap is under a destroyed version.
    Shredded,
    /// It shows one blob and wraps the key of another.
    WrongKey,
}

/// A wrapped key: whose, and under which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wrap {
    blob: u8,
    version: u8,
}

/// A row: the blob that it shows, and the wrap that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    shows: u8,
    wrap: Wrap,
}

/// A wrap given to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Issued {
    Not,
    Held(u8),
    Expired(u8),
    Spent,
}

/// The scan: where it is, what it saw, when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Scan {
    next: u8,
    found: bool,
    version: u8,
}

const ROWS: u8 = 2;
const BLOBS: u8 = 3;
const LAST: u8 = 2;

/// One state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keys {
    active: u8,
    destroyed: [bool; LAST as usize + 1],
    issued: [Issued; BLOBS as usize],
    rows: [Option<Row>; ROWS as usize],
    rewrap: Option<(u8, Wrap, Wrap)>,
    scan: Option<Scan>,
}

/// One step. The last version is never retired, so every run ends.
#[expect(
    missing_docs,
    reason = "Display says what each variant and field means"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Issue { blob: u8 },
    Expire { blob: u8 },
    Commit { blob: u8, row: u8 },
    Rotate,
    ReadRow { row: u8 },
    Rewrap,
    BeginScan { version: u8 },
    ScanRow,
    Destroy,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Issue { blob } => write!(f, "the key of blob {blob} is issued, wrapped"),
            Action::Expire { blob } => write!(f, "the wrap issued for blob {blob} expires"),
            Action::Commit { blob, row } => write!(f, "blob {blob} is committed into row {row}"),
            Action::Rotate => write!(f, "the active version is retired for the next"),
            Action::ReadRow { row } => write!(f, "the rewrapper reads row {row}"),
            Action::Rewrap => write!(f, "the rewrapper writes its row back"),
            Action::BeginScan { version } => write!(f, "a scan for version {version} begins"),
            Action::ScanRow => write!(f, "the scan looks at its next row"),
            Action::Destroy => write!(f, "the scanned version is destroyed"),
        }
    }
}

/// What kind of thing a step did.
#[expect(missing_docs, reason = "the names are the meaning")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Issued,
    Expired,
    Committed,
    CommitRefused,
    Rotated,
    RowRead,
    Rewrapped,
    RewrapRefused,
    ScanBegun,
    RowScanned,
    Destroyed,
}

/// The key rules, with or without some of them.
#[derive(Clone, Debug)]
pub struct KeyRules {
    /// Which fences are gone.
    pub removed: Vec<Fence>,
}

impl KeyRules {
    fn hold(&self, fence: Fence) -> bool {
        !self.removed.contains(&fence)
    }

    fn commit(&self, after: &mut Keys, blob: u8, row: u8) -> Event {
        let (version, expired) = match after.issued[usize::from(blob)] {
            Issued::Held(version) => (version, false),
            Issued::Expired(version) => (version, true),
            Issued::Not | Issued::Spent => unreachable!("offered only while the wrap is held"),
        };
        after.issued[usize::from(blob)] = Issued::Spent;
        let retired = version != after.active;
        if expired && self.hold(Fence::WrapExpires) || retired && self.hold(Fence::RetiredRefused) {
            return Event::CommitRefused;
        }
        after.rows[usize::from(row)] = Some(Row {
            shows: blob,
            wrap: Wrap { blob, version },
        });
        Event::Committed
    }

    fn rewrap(&self, after: &mut Keys) -> Event {
        let (row, old, new) = after
            .rewrap
            .take()
            .expect("offered only while a row is read");
        let row = after.rows[usize::from(row)]
            .as_mut()
            .expect("rows are replaced, not removed");
        let stale = row.wrap != old && self.hold(Fence::RewrapCompares);
        if stale || new.version != after.active && self.hold(Fence::RewrapToActive) {
            return Event::RewrapRefused;
        }
        row.wrap = new;
        Event::Rewrapped
    }

    fn may_destroy(&self, scan: Scan, keys: &Keys) -> bool {
        let clean = !scan.found || !self.hold(Fence::ScanFindsNone);
        scan.next == ROWS && clean && scan.version < keys.active
    }
}

impl Model for KeyRules {
    type State = Keys;
    type Action = Action;
    type Event = Event;
    type Violation = Violation;

    fn initial(&self) -> Keys {
        Keys {
            active: 0,
            destroyed: [false; LAST as usize + 1],
            issued: [Issued::Not; BLOBS as usize],
            rows: [None; ROWS as usize],
            rewrap: None,
            scan: None,
        }
    }

    fn actions(&self, keys: &Keys, next: &mut Vec<Action>) {
        for (blob, issued) in (0..).zip(keys.issued) {
            match issued {
                Issued::Not => next.push(Action::Issue { blob }),
                Issued::Held(_) => next.push(Action::Expire { blob }),
                Issued::Expired(_) | Issued::Spent => {}
            }
            if matches!(issued, Issued::Held(_) | Issued::Expired(_)) {
                next.extend((0..ROWS).map(|row| Action::Commit { blob, row }));
            }
        }
        if keys.active < LAST {
            next.push(Action::Rotate);
        }
        for (row, held) in (0..).zip(keys.rows) {
            let old = held.is_some_and(|held| {
                let version = held.wrap.version;
                version < keys.active && !keys.destroyed[usize::from(version)]
            });
            if old && keys.rewrap.is_none() {
                next.push(Action::ReadRow { row });
            }
        }
        if keys.rewrap.is_some() {
            next.push(Action::Rewrap);
        }
        let Some(scan) = keys.scan else {
            let early = !self.hold(Fence::ScanAfterRetirement);
            next.extend(
                (0..keys.active + u8::from(early))
                    .filter(|&version| !keys.destroyed[usize::from(version)])
                    .map(|version| Action::BeginScan { version }),
            );
            return;
        };
        if scan.next < ROWS {
            next.push(Action::ScanRow);
        }
        if self.may_destroy(scan, keys) {
            next.push(Action::Destroy);
        }
    }

    fn step(&self, keys: &Keys, action: &Action) -> (Keys, Event) {
        let mut after = *keys;
        let event = match *action {
            Action::Issue { blob } => {
                after.issued[usize::from(blob)] = Issued::Held(keys.active);
                Event::Issued
            }
            Action::Expire { blob } => {
                if let Issued::Held(version) = keys.issued[usize::from(blob)] {
                    after.issued[usize::from(blob)] = Issued::Expired(version);
                }
                Event::Expired
            }
            Action::Commit { blob, row } => self.commit(&mut after, blob, row),
            Action::Rotate => {
                after.active += 1;
                Event::Rotated
            }
            Action::ReadRow { row } => {
                let old = keys.rows[usize::from(row)]
                    .expect("offered only for a row")
                    .wrap;
                let new = Wrap {
                    version: keys.active,
                    ..old
                };
                after.rewrap = Some((row, old, new));
                Event::RowRead
            }
            Action::Rewrap => self.rewrap(&mut after),
            Action::BeginScan { version } => {
                after.scan = Some(Scan {
                    next: 0,
                    found: false,
                    version,
                });
                Event::ScanBegun
            }
            Action::ScanRow => {
                let scan = after.scan.as_mut().expect("offered only during a scan");
                let row = keys.rows[usize::from(scan.next)];
                scan.found |= row.is_some_and(|row| row.wrap.version == scan.version);
                scan.next += 1;
                Event::RowScanned
            }
            Action::Destroy => {
                let scan = after.scan.take().expect("offered only after a scan");
                after.destroyed[usize::from(scan.version)] = true;
                Event::Destroyed
            }
        };
        // A scan in vain is over.
        if after.scan.is_some_and(|scan| {
            scan.next == ROWS && scan.version < after.active && !self.may_destroy(scan, &after)
        }) {
            after.scan = None;
        }
        (after, event)
    }

    fn check(&self, keys: &Keys) -> Result<(), Violation> {
        for row in keys.rows.iter().flatten() {
            if keys.destroyed[usize::from(row.wrap.version)] {
                return Err(Violation::Shredded);
            }
            if row.wrap.blob != row.shows {
                return Err(Violation::WrongKey);
            }
        }
        Ok(())
    }
}
