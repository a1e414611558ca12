//! What is in flight, by slot.
//!
//! ```text
//! free --put--> occupied (tag) --take(tag)--> free, under the next generation
//! ```
//!
//! A tag is a slot's index and generation. So a completion that comes for an earlier tenant of a slot finds
//! nothing, instead of the tenant of today. No kernel is needed here: `tests/it/schedules` drives this table
//! through many schedules.

/// A table of so many slots.
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    generation: u32,
    tenant: Option<T>,
}

/// Names one stay of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    index: u32,
    generation: u32,
}

impl Tag {
    /// As the kernel carries it.
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// As the kernel returned it.
    pub(super) fn from_bits(bits: u64) -> Self {
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits");
        Self {
            index: half(bits),
            generation: half(bits >> 32),
        }
    }
}

impl<T> Slots<T> {
    pub(super) fn new(count: u32) -> Self {
        let slot = |_| Slot {
            generation: 0,
            tenant: None,
        };
        Self {
            slots: (0..count).map(slot).collect(),
            free: (0..count).collect(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// How many are occupied.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Occupies a slot.
    ///
    /// # Panics
    /// When none is free.
    pub(super) fn put(&mut self, tenant: T) -> Tag {
        let index = self.free.pop().expect("put only while a slot is free");
        let slot = &mut self.slots[index as usize];
        slot.tenant = Some(tenant);
        Tag {
            index,
            generation: slot.generation,
        }
    }

    /// Who stays under that tag, if anybody still does.
    pub(super) fn get(&mut self, tag: Tag) -> Option<&mut T> {
        let slot = self.slots.get_mut(tag.index as usize)?;
        slot.tenant
            .as_mut()
            .filter(|_| slot.generation == tag.generation)
    }

    /// Frees the slot of who stays under that tag, if anybody still does.
    pub(super) fn take(&mut self, tag: Tag) -> Option<T> {
        self.get(tag)?;
        let slot = &mut self.slots[tag.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(tag.index);
        slot.tenant.take()
    }

    /// Frees all slots.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let tags = self.slots.iter().enumerate().map(|(index, slot)| Tag {
            index: u32::try_from(index).expect("counted in 32 bits"),
            generation: slot.generation,
        });
        let tags: Vec<Tag> = tags.collect();
        tags.into_iter().filter_map(|tag| self.take(tag)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_index_and_generation_apart() {
        for (index, generation) in [(0, 0), (119, 7), (3, u32::MAX)] {
            let tag = Tag { index, generation };
            assert_eq!(Tag::from_bits(tag.to_bits()), tag);
            assert_ne!(tag.to_bits(), u64::MAX, "the doorbell's");
        }
    }

    /// A tag that was taken meets nobody, however often its slot is let again.
    #[test]
    fn an_old_tag_meets_no_later_tenant() {
        let mut slots = Slots::new(1);
        let first = slots.put('a');
        assert!(slots.is_full());
        assert_eq!(slots.take(first), Some('a'));
        let second = slots.put('b');
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.take(first), None);
        assert_eq!(slots.get(second), Some(&mut 'b'));
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.clear(), ['b']);
        assert_eq!(slots.get(second), None);
        assert_eq!(slots.len(), 0);
    }
}
