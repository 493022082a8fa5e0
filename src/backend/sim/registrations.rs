//! The registrations of a world: of each source a few, and found by their source.
//!
//! Invariant: a source without registrations has no entry.

use std::ops::Index;

use super::sources::{Id, RegistrationKey, RegistrationState};
use super::table::Table;

pub(super) struct Registrations {
    /// The registrations of each source, in the order in which they were made.
    of_source: Table<Id, Vec<(RegistrationKey, RegistrationState)>>,
}

impl Registrations {
    pub(super) const fn new() -> Registrations {
        Registrations { of_source: Table::new() }
    }

    #[inline]
    pub(super) fn get(&self, key: &RegistrationKey) -> Option<&RegistrationState> {
        self.of(key.1).iter().find(|(other, _)| other == key).map(|(_, state)| state)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: &RegistrationKey) -> Option<&mut RegistrationState> {
        self.of_source.get_mut(&key.1)?.iter_mut().find(|(other, _)| other == key).map(|(_, state)| state)
    }

    pub(super) fn contains_key(&self, key: &RegistrationKey) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn insert(&mut self, key: RegistrationKey, state: RegistrationState) {
        match self.get_mut(&key) {
            Some(found) => *found = state,
            None => self.of_source.get_or_default(key.1).push((key, state)),
        }
    }

    pub(super) fn remove(&mut self, key: &RegistrationKey) {
        let Some(all) = self.of_source.get_mut(&key.1) else { return };
        all.retain(|(other, _)| other != key);
        if all.is_empty() {
            self.of_source.remove(&key.1);
        }
    }

    /// Returns the registrations of a source, in the order in which they were made.
    #[inline]
    pub(super) fn of(&self, id: Id) -> &[(RegistrationKey, RegistrationState)] {
        self.of_source.get(&id).map_or(&[], |all| all)
    }

    #[inline]
    pub(super) fn of_mut(&mut self, id: Id) -> &mut [(RegistrationKey, RegistrationState)] {
        self.of_source.get_mut(&id).map_or(&mut [], |all| all)
    }

    /// Returns the keys of a poll's registrations, in their order, as far as `filter` accepts them.
    pub(super) fn of_poll(
        &self,
        poll: Id,
        filter: impl Fn(&RegistrationState) -> bool,
    ) -> Vec<RegistrationKey> {
        let all = self.of_source.iter().flat_map(|(_, all)| all);
        let all = all.filter(|(key, state)| key.0 == poll && filter(state));
        let mut keys: Vec<RegistrationKey> = all.map(|&(key, _)| key).collect();
        keys.sort_unstable();
        keys
    }
}

impl Index<&RegistrationKey> for Registrations {
    type Output = RegistrationState;

    #[inline]
    fn index(&self, key: &RegistrationKey) -> &RegistrationState {
        self.get(key).expect("a registration of this key")
    }
}
