//! What the driver counts.

/// How many objects of a kind have been made and unmade so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Made since the driver was loaded.
    pub created: u64,
    /// Unmade since then.
    pub deleted: u64,
}

impl Census {
    /// How many there are now.
    pub fn alive(&self) -> u64 {
        self.created - self.deleted
    }

    pub(crate) fn create(&mut self) {
        self.created += 1;
    }

    pub(crate) fn delete(&mut self) {
        self.deleted += 1;
    }
}

/// The kernel's counters of objects, and one that no kernel has: how payloads are copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Open devices.
    pub processes: Census,
    /// Threads known to the driver.
    pub threads: Census,
    /// Nodes.
    pub nodes: Census,
    /// References.
    pub references: Census,
    /// Death notifications.
    pub deaths: Census,
    /// Freeze notifications.
    pub freezes: Census,
    /// Transactions.
    pub transactions: Census,
    /// BR_TRANSACTION_COMPLETE that are to be delivered.
    pub completions: Census,
    /// Copies of payload from a sender's memory into a receiver's mapping: one for each piece between objects.
    pub payload_copies: u64,
    /// Bytes copied by them.
    pub payload_bytes: u64,
}
