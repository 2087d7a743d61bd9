//! The messages between the harness and its guest: JSON, each after its length in four bytes.

use std::io::{self, ErrorKind, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::Run;

/// Longer messages than this are not believed, in bytes.
const LONGEST: u32 = 256 << 20;

/// What the harness asks of its guest.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Whether it is there.
    Hello,
    /// Runs this script.
    Run {
        /// The script.
        script: String,
    },
}

/// What the guest says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The channel is a terminal, and passes on what it is given from now on. Said once, unasked.
    Listening,
    /// It has booted, and the device is there. Answers [`Request::Hello`].
    Ready {
        /// Its driver, as [`crate::target::Target::driver`] calls it.
        driver: String,
        /// The profile that it is nearest to.
        profile: String,
    },
    /// It cannot run anything. Answers [`Request::Hello`].
    Unusable {
        /// Why not, and what to do.
        reason: String,
    },
    /// What came of a script.
    Ran {
        /// What did.
        run: Run,
        /// Whether the kernel has complained: then it is of no more use.
        spoilt: bool,
    },
}

/// Sends a message.
pub fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).map_err(|_| ErrorKind::InvalidData)?;
    // One write, so that a slow channel is used once.
    let mut framed = length.to_le_bytes().to_vec();
    framed.extend_from_slice(&text);
    to.write_all(&framed)?;
    to.flush()
}

/// Receives a message.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let mut channel = Vec::new();
        send(&mut channel, &Request::Run { script: "a\nb".to_owned() }).unwrap();
        send(&mut channel, &Request::Hello).unwrap();
        let mut channel = channel.as_slice();
        assert!(matches!(receive(&mut channel), Ok(Request::Run { script }) if script == "a\nb"));
        assert!(matches!(receive(&mut channel), Ok(Request::Hello)));
        assert!(receive::<Request>(&mut channel).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(receive::<Reply>(&mut &b"\xff\xff\xff\xffabc"[..]).is_err());
        assert!(receive::<Reply>(&mut &b"\x03\0\0\0abc"[..]).is_err());
        assert!(receive::<Reply>(&mut &b"\x09\0\0\0abc"[..]).is_err());
    }
}
