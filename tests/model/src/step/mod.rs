//! The rules: which steps may come next, and what each does.
//!
//! One file per actor; each has `offer`, which appends that actor's next steps, and a function per
//! step. Everything here is a pure function of the world.

mod collector;
mod fault;
mod gateway;
mod mover;
mod namespace;
mod repair;
mod replace;
mod settle;

use crate::{
    action::{Action, Event},
    check::{self, Violation},
    explore::Model,
    fence::{Fence, Fences},
    scene::Scene,
    world::{Group, Index, World},
};

/// The data path in one scene, with some of its fences.
#[derive(Clone, Copy, Debug)]
pub struct DataPath {
    /// What may happen.
    pub scene: Scene,
    /// Which fences stand.
    pub fences: Fences,
}

impl DataPath {
    fn hold(&self, fence: Fence) -> bool {
        self.fences.hold(fence)
    }

    fn uploads(&self) -> impl Iterator<Item = Index> + use<> {
        (0..).take(self.scene.uploads.len())
    }

    fn slots(&self) -> impl Iterator<Item = Index> + use<> {
        0..self.scene.slots
    }

    fn chunk(&self, upload: Index) -> usize {
        self.scene.uploads[usize::from(upload)].chunk.into()
    }

    fn group<'w>(&self, world: &'w World, upload: Index) -> &'w Group {
        &world.groups[self.group_of(upload)]
    }

    fn group_of(&self, upload: Index) -> usize {
        self.scene.group_of[self.chunk(upload)].into()
    }
}

impl Model for DataPath {
    type State = World;
    type Action = Action;
    type Event = Event;
    type Violation = Violation;

    fn initial(&self) -> World {
        World::new(&self.scene)
    }

    fn actions(&self, world: &World, next: &mut Vec<Action>) {
        gateway::offer(self, world, next);
        namespace::offer(self, world, next);
        mover::offer(self, world, next);
        repair::offer(self, world, next);
        collector::offer(self, world, next);
        replace::offer(self, world, next);
        fault::offer(self, world, next);
    }

    fn step(&self, world: &World, action: &Action) -> (World, Event) {
        let mut after = *world;
        let w = &mut after;
        let event = match *action {
            Action::Issue { gateway } => gateway::issue(w, gateway),
            Action::Expire { gateway } => gateway::expire(w, gateway),
            Action::Begin { upload } => gateway::begin(self, w, upload),
            Action::Land { upload, slot } => gateway::land(self, w, upload, slot),
            Action::Resend { upload } => gateway::resend(self, w, upload),
            Action::Apply { upload } => namespace::apply(self, w, upload),
            Action::Share { upload } => namespace::share(w, upload),
            Action::Unreference { upload } => namespace::unreference(w, upload),
            Action::Look { upload } => namespace::look(w, upload),
            Action::Finish => namespace::finish(w),
            Action::Close {
                group,
                slot,
                target,
            } => mover::close(w, group, slot, target),
            Action::Raise => mover::raise(self, w),
            Action::List => mover::list(self, w),
            Action::Copy { upload } => mover::copy(self, w, upload),
            Action::Tear { upload } => mover::tear(self, w, upload),
            Action::ProposeSwap => mover::propose_swap(self, w),
            Action::ApplySwap => mover::apply_swap(self, w),
            Action::GiveUp => mover::give_up(self, w),
            Action::DeleteSource => mover::delete_source(self, w),
            Action::Repair { upload, slot } => repair::rebuild(self, w, upload, slot),
            Action::Report { upload, slot } => repair::report(self, w, upload, slot),
            Action::Reclaim { upload } => collector::reclaim(self, w, upload),
            Action::Inventory { disk } => collector::inventory(self, w, disk),
            Action::Read => collector::read(self, w),
            Action::Judge => collector::judge(self, w),
            Action::Delete {
                disk,
                chunk,
                slot,
                epoch,
            } => collector::delete(self, w, disk, chunk, slot, epoch),
            Action::Collect => collector::collect(self, w),
            Action::Fail { disk } => fault::fail(w, disk),
            Action::Rot { upload, slot } => fault::rot(self, w, upload, slot),
            Action::ReportBad { upload, slot } => fault::report_bad(w, upload, slot),
            Action::Replace { at, new } => replace::begin(self, w, at, new),
            Action::CloseLost { at } => replace::close(self, w, at),
            Action::BeginWalk { at } => replace::begin_walk(self, w, at),
            Action::Walk { at } => replace::walk(self, w, at),
            Action::BreakOff { at } => replace::break_off(w, at),
            Action::TakeOver { at } => replace::take_over(self, w, at),
        };
        if self.scene.forgets {
            settle::forget(self, w);
        }
        (after, event)
    }

    fn check(&self, world: &World) -> Result<(), Violation> {
        check::check(&self.scene, world)
    }
}
