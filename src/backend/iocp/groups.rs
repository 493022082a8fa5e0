//! Handles of the AFD driver, each shared by some sockets. With one for all, each cancellation would walk through all
//! polls; one for each would double the handles.
//!
//! Invariant: a group has at most [`MEMBERS`] sockets, and is in `with_room` while it has fewer.

use std::io;
use std::sync::Arc;

use super::sys::Afd;
use crate::os::Port;

const MEMBERS: u32 = 32;

#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// Groups with space for more sockets; the last one is filled next.
    with_room: Vec<u32>,
}

struct Group {
    /// Open while there are members, or polls whose packets are on their way back.
    afd: Option<Arc<Afd>>,
    members: u32,
}

impl Groups {
    pub(super) fn join(&mut self, port: &Port) -> io::Result<(u32, Arc<Afd>)> {
        let index = match self.with_room.last() {
            Some(&index) => index,
            None => {
                let index = self.groups.len() as u32;
                self.groups.push(Group { afd: None, members: 0 });
                self.with_room.push(index);
                index
            }
        };
        let group = &mut self.groups[index as usize];
        let afd = match &group.afd {
            Some(afd) => Arc::clone(afd),
            None => Arc::clone(group.afd.insert(Arc::new(Afd::new(port)?))),
        };
        group.members += 1;
        if group.members == MEMBERS {
            self.with_room.pop();
        }
        Ok((index, afd))
    }

    pub(super) fn leave(&mut self, index: u32) {
        let group = &mut self.groups[index as usize];
        if group.members == MEMBERS {
            self.with_room.push(index);
        }
        group.members -= 1;
        if group.members == 0 && self.with_room.last() != Some(&index) {
            group.afd = None;
        }
    }
}
