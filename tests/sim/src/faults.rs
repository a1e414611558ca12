//! What happens to disks and servers.

use crate::world::World;
use std::sync::{Arc, Mutex};
use strongroom_tests::Dice;

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {}

pub(crate) struct Nemesis {
    world: Arc<World>,
    pub(crate) faults: Mutex<Faults>,
}

impl Nemesis {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            faults: Mutex::default(),
        }
    }
    pub(crate) async fn torment(self: Arc<Self>, _dice: Dice) {}
    pub(crate) async fn cut_all(&self, dice: &mut Dice) {
        self.world.cut_all(dice).await;
    }
    pub(crate) async fn end(&self) -> Result<(), String> {
        Ok(())
    }
}
