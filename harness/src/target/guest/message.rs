//! The messages between the harness and its guest: JSON, each after its length in four bytes. Behind the JSON of a request
//! there can be tapes.
//!
//! What the guest is asked is compressed, as what it is asked at a time may be many scripts, and channels are slow.
//! Where the channel would lose some of it, it comes in pieces, behind each of which but the last the guest says that it has
//! read it.

use std::io::{self, ErrorKind, Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::counters::{PackedCounters, Since};
use super::mailbox::{self, Mailbox};
use crate::engine::Run;
use crate::target::Spent;

/// Longer messages than this are not believed, in bytes.
const LONGEST: u32 = 256 << 20;

/// How much a guest is sent at a time, in bytes. Where the channel is a terminal of User-mode Linux, the kernel stops
/// listening once some 4,000 bytes are there that nobody has read, and does not begin again when they have been.
const PIECE: usize = 2000;

/// What is told in place of a length where a request is in the mailbox, under the number of eight bytes behind it.
const IN_MAILBOX: u32 = u32::MAX;

/// What is told before the length of a request that is not sent in pieces.
const WHOLE: u32 = u32::MAX - 1;

/// How a guest is asked what is longer than a piece.
#[derive(Debug)]
pub enum Way {
    /// Piece by piece.
    Pieces,
    /// By a letter, if there is room for one.
    Mailbox(Mailbox),
    /// At once, however long it is: the channel stops whoever is quicker than the guest.
    Whole,
}

/// What a guest says to be sent the next piece.
const GO_ON: u8 = b'+';

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
    /// Runs scripts one after the other, each answered by a [`Reply::Compared`] of its own. Once one of them has spoilt the
    /// guest, it runs no more of them.
    Compare {
        /// The scripts, each with the digest of what another target did.
        scripts: Vec<Compared>,
    },
    /// Plays the tapes that come with the request, answered by one [`Reply::Played`].
    Play,
    /// Keeps a program, in place of the one that it has been given before.
    Keep {
        /// Its file, [packed](super::packed).
        program: String,
    },
    /// What the driver's code has counted of its own runs.
    Count {
        /// Since when.
        since: Since,
    },
    /// Runs the program that it keeps, with the path of the device and these words.
    Execute {
        /// The words.
        words: Vec<String>,
    },
}

/// A script, and what another target did with it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Compared {
    /// The script.
    pub script: String,
    /// The [digest] of that run.
    pub digest: String,
}

/// What stands for a run: the same for two runs only if they are the same.
pub fn digest(run: &Run) -> String {
    struct Hashing(Xxh3Default);
    impl Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hashing = io::BufWriter::new(Hashing(Xxh3Default::new()));
    let written = serde_json::to_writer(&mut hashing, run).map_err(io::Error::from);
    let hashing = written.and_then(|()| hashing.into_inner().map_err(io::Error::from));
    // A run is plain data, all of which JSON has words for, and hashing takes whatever it is given.
    format!("{:032x}", hashing.expect("a run can be written to memory").0.digest128())
}

/// What the guest says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The channel is a terminal, and passes on what it is given from now on. Said once, unasked.
    Listening,
    /// It has booted, and the device is there. Answers [`Request::Hello`].
    Ready(Introduction),
    /// It cannot run anything. Answers [`Request::Hello`].
    Unusable {
        /// Why not, and what to do.
        reason: String,
    },
    /// It keeps the program. Answers [`Request::Keep`].
    Kept,
    /// What a program that is none of ours has written since this was last said. Comes before [`Reply::Executed`], any number
    /// of times.
    Wrote {
        /// The bytes, packed.
        bytes: String,
    },
    /// What came of that program. Answers [`Request::Execute`].
    Executed {
        /// The status with which it ended, or what came in between.
        status: Result<i32, String>,
        /// What the kernel has complained of meanwhile.
        complaints: Vec<String>,
        /// Whether the kernel has complained: then it is of no more use.
        spoilt: bool,
    },
    /// What has been counted; `None` if this kernel counts nothing. Answers [`Request::Count`].
    Counted {
        /// The counters.
        counters: Option<PackedCounters>,
    },
    /// What came of a script.
    Ran {
        /// What did.
        run: Run,
        /// Whether the kernel has complained, or something hangs: then it is of no more use.
        spoilt: bool,
    },
    /// What came of tapes. Answers [`Request::Play`].
    Played {
        /// Of each, whether the driver did as on it. Of those behind the last one this is not known.
        same: Vec<bool>,
        /// What the kernel has complained of: then it is of no more use, and it is not known over which of them.
        complaints: Vec<String>,
        /// What is left of them, if all did the same.
        left: Vec<String>,
        /// What its log has had meanwhile.
        log: Vec<String>,
        /// Where the time went.
        spent: Spent,
    },
    /// What came of one of several scripts.
    Compared {
        /// What did, if that is something else than another target did.
        run: Option<Run>,
        /// Where the time went.
        spent: Spent,
        /// As of [`Reply::Ran`].
        spoilt: bool,
    },
}

/// What a guest says of its kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Introduction {
    /// Its driver, as [`crate::target::Target::driver`] calls it.
    pub driver: String,
    /// The profile that it is nearest to.
    pub profile: String,
    /// What its security module calls processes, if it has one that tells the driver.
    pub security_context: Option<Vec<u8>>,
    /// Whether it can look into its mailbox.
    pub has_mailbox: bool,
}

/// What came of a program that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// The status with which it ended, or what came in between.
    pub status: Result<i32, String>,
    /// What it wrote, on standard output and on standard error, as far as its guest came to tell it.
    pub output: Vec<u8>,
    /// What the kernel has complained of meanwhile.
    pub complaints: Vec<String>,
}

/// Asks a guest. With the request go these bytes.
pub fn ask(
    guest: &mut (impl Read + Write),
    way: &mut Way,
    request: &Request,
    bytes: &[u8],
) -> io::Result<()> {
    let mut text = DeflateEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut text, request)?;
    text.write_all(bytes)?;
    let text = text.finish()?;
    let framed = framed(&text)?;
    match way {
        Way::Mailbox(mailbox) if text.len() > PIECE => {
            // Where there is no room for a letter, the channel will do.
            if let Ok(number) = mailbox.post(&text) {
                guest.write_all(&[IN_MAILBOX.to_le_bytes().as_slice(), &number.to_le_bytes()].concat())?;
                return guest.flush();
            }
        }
        Way::Whole => {
            guest.write_all(&[WHOLE.to_le_bytes().as_slice(), &framed].concat())?;
            return guest.flush();
        }
        Way::Mailbox(_) | Way::Pieces => {}
    }
    let mut pieces = framed.chunks(PIECE).peekable();
    while let Some(piece) = pieces.next() {
        guest.write_all(piece)?;
        guest.flush()?;
        if pieces.peek().is_some() {
            let mut said = [0];
            guest.read_exact(&mut said)?;
            if said != [GO_ON] {
                return Err(invalid(format!("{said:?} in answer to a piece of a request")));
            }
        }
    }
    Ok(())
}

/// Hears, in a guest, what it is asked, and the bytes that go with that.
pub fn hear(harness: &mut (impl Read + Write)) -> io::Result<(Request, Vec<u8>)> {
    let length = match word(harness)? {
        IN_MAILBOX => {
            let mut number = [0; size_of::<u64>()];
            harness.read_exact(&mut number)?;
            return read_request(&mailbox::take(u64::from_le_bytes(number))?);
        }
        WHOLE => {
            let mut text = vec![0; length(harness)?];
            harness.read_exact(&mut text)?;
            return read_request(&text);
        }
        length => believed(length)?,
    };
    let mut text = vec![0; length];
    let mut heard = 0;
    // The length belongs to the first piece.
    let mut end = PIECE - LENGTH;
    loop {
        end = end.min(text.len());
        harness.read_exact(&mut text[heard..end])?;
        if end == text.len() {
            return read_request(&text);
        }
        harness.write_all(&[GO_ON])?;
        harness.flush()?;
        (heard, end) = (end, end + PIECE);
    }
}

/// A request, and the bytes that go with it, of what has been sent.
fn read_request(text: &[u8]) -> io::Result<(Request, Vec<u8>)> {
    let mut plain = Vec::new();
    DeflateDecoder::new(text).take(LONGEST.into()).read_to_end(&mut plain)?;
    let mut requests = serde_json::Deserializer::from_slice(&plain).into_iter();
    let request = requests.next().ok_or_else(|| invalid("an empty request".to_owned()))??;
    let length = requests.byte_offset();
    plain.drain(..length);
    Ok((request, plain))
}

/// Says something to the harness.
pub fn say(to: &mut impl Write, reply: &Reply) -> io::Result<()> {
    to.write_all(&framed(&serde_json::to_vec(reply)?)?)?;
    to.flush()
}

/// Receives what a guest says.
pub fn receive(from: &mut impl Read) -> io::Result<Reply> {
    let mut text = vec![0; length(from)?];
    from.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// The size of a length, in bytes.
const LENGTH: usize = size_of::<u32>();

fn framed(text: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(text.len()).map_err(|_| invalid("a message without end".to_owned()))?;
    Ok([&length.to_le_bytes(), text].concat())
}

/// The length of the message that follows.
fn length(from: &mut impl Read) -> io::Result<usize> {
    believed(word(from)?)
}

/// A length, if a message may be so long.
fn believed(length: u32) -> io::Result<usize> {
    match length {
        length if length > LONGEST => Err(invalid(format!("a message of {length} bytes"))),
        length => Ok(length as usize),
    }
}

fn word(from: &mut impl Read) -> io::Result<u32> {
    let mut word = [0; LENGTH];
    from.read_exact(&mut word)?;
    Ok(u32::from_le_bytes(word))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    /// Asks a guest that a thread of its own stands for, and gives what that has heard.
    fn heard(request: Request) -> Request {
        heard_with(request, &[]).0
    }

    /// The same, with bytes.
    fn heard_with(request: Request, bytes: &[u8]) -> (Request, Vec<u8>) {
        heard_by(&mut Way::Pieces, request, bytes)
    }

    fn heard_by(way: &mut Way, request: Request, bytes: &[u8]) -> (Request, Vec<u8>) {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            let guest = scope.spawn(move || hear(&mut theirs).unwrap());
            ask(&mut ours, way, &request, bytes).unwrap();
            guest.join().unwrap()
        })
    }

    #[test]
    fn what_is_asked_is_heard_whatever_its_length() {
        assert!(matches!(heard(Request::Hello), Request::Hello));
        // What is random cannot be compressed to much less than half as long, since it is in hexadecimal.
        let mut random = fastrand::Rng::with_seed(1);
        for length in (1..6 * PIECE).step_by(97) {
            let script: String = (0..length).map(|_| random.digit(16)).collect();
            let Request::Run { script: came } = heard(Request::Run { script: script.clone() }) else {
                panic!()
            };
            assert!(came == script, "{length} bytes");
        }
    }

    #[test]
    fn bytes_that_go_with_a_request_are_heard() {
        for bytes in [&b""[..], b"\0\xff{}", b" 1", &[7; 5 * PIECE]] {
            let (request, came) = heard_with(Request::Play, bytes);
            assert!(matches!(request, Request::Play) && came == bytes);
            let (request, came) = heard_by(&mut Way::Whole, Request::Play, bytes);
            assert!(matches!(request, Request::Play) && came == bytes);
        }
    }

    #[test]
    fn no_more_than_a_piece_is_sent_unheard() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let script = (0..4 * PIECE).map(|_| fastrand::digit(16)).collect();
        let error = ask(&mut ours, &mut Way::Pieces, &Request::Run { script }, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(ours);
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).unwrap();
        assert_eq!(sent.len(), PIECE);
    }

    #[test]
    fn what_is_said_is_received() {
        let mut channel = Vec::new();
        say(&mut channel, &Reply::Unusable { reason: "a\nb".to_owned() }).unwrap();
        say(&mut channel, &Reply::Listening).unwrap();
        let mut channel = channel.as_slice();
        assert!(matches!(receive(&mut channel), Ok(Reply::Unusable { reason }) if reason == "a\nb"));
        assert!(matches!(receive(&mut channel), Ok(Reply::Listening)));
        assert!(receive(&mut channel).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(receive(&mut &b"\xff\xff\xff\xffabc"[..]).is_err());
        assert!(receive(&mut &b"\x03\0\0\0abc"[..]).is_err());
        assert!(receive(&mut &b"\x09\0\0\0abc"[..]).is_err());
    }
}
