//! The plan of a connection, from a number that both its ends know.

/// How a connection ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has sent all and shuts its half down; it receives the rest, and then the end.
    ClientShutsDown,
    /// The server shuts its half down at half-time, and still receives.
    ServerShutsDown,
    /// One side closes abruptly, which resets the connection.
    ClientVanishes,
    ServerVanishes,
    /// The client closes with unread data, which resets the connection too.
    ClientLeavesUnread,
}

pub const ENDS: [End; 5] = [
    End::ClientShutsDown,
    End::ServerShutsDown,
    End::ClientVanishes,
    End::ServerVanishes,
    End::ClientLeavesUnread,
];

/// The bytes that carry the number to the server.
pub const HEADER: usize = 8;

#[derive(Copy, Clone, Debug)]
pub struct Plan {
    seed: u64,
    pub end: End,
    /// The bytes in each direction, after the header.
    pub length: usize,
    /// The most bytes in transit.
    pub window: usize,
}

impl Plan {
    pub fn new(seed: u64) -> Plan {
        let word = mix(seed);
        let end = ENDS[(word % ENDS.len() as u64) as usize];
        let word = mix(word);
        // Mostly small; now and then larger than the kernel's buffers.
        let most = if word % 64 == 0 { 1 << 18 } else { 1 << (6 + word % 7) };
        let word = mix(word);
        // Half of it is more than a byte.
        let length = 4 + (word % most) as usize;
        let word = mix(word);
        let window = if word % 4 == 0 { length } else { 1 + length / (1 + (word >> 8) as usize % 16) };
        Plan { seed, end, length, window }
    }

    pub fn header(&self) -> [u8; HEADER] {
        self.seed.to_le_bytes()
    }

    /// The number of bytes that the server sends back before it shuts its half down.
    pub fn answered(&self) -> usize {
        match self.end {
            End::ServerShutsDown | End::ServerVanishes => self.length / 2,
            _ => self.length,
        }
    }

    /// Fills `buf` with the bytes from position `at` on.
    pub fn fill(&self, at: usize, buf: &mut [u8]) {
        let mut word = 0;
        for (index, byte) in buf.iter_mut().enumerate() {
            let place = at + index;
            if index == 0 || place % 8 == 0 {
                word = mix(self.seed ^ (place as u64 / 8) << 20);
            }
            *byte = (word >> (place % 8 * 8)) as u8;
        }
    }

    /// Returns whether `bytes` are those from position `at` on.
    pub fn check(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.length, "{self:?}: more bytes than were sent");
        let mut expected = [0; 4096];
        let expected = &mut expected[..bytes.len()];
        self.fill(at, expected);
        assert!(bytes == expected, "{self:?}: wrong bytes from {at} on");
    }
}

/// A number by another, each time the same.
pub fn mix(seed: u64) -> u64 {
    fastrand::Rng::with_seed(seed).u64(..)
}
