//! Reports of the driver, which it multicasts to the group `report` of its family `binder` of generic netlink.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator, parse_string, parse_u32,
};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::{GenlCtrlAttrs, McastGrpAttrs};
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, bind, recv, send};

/// The names of the family and the group.
const FAMILY: &str = "binder";
const GROUP: &str = "report";

/// The bytes of the headers that stand before the attributes of a report: of netlink, and of generic netlink.
const HEADERS: usize = 16 + 4;

/// Where all of a message fits.
pub const LONGEST_MESSAGE: usize = 0x1000;

/// The number of the group of those who listen to reports. ENOENT if the driver makes none.
pub fn group() -> io::Result<u32> {
    let socket = generic_netlink()?;
    let request =
        GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY.to_owned())] };
    let mut request = NetlinkMessage::from(GenlMessage::from_payload(request));
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    send(socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
    let mut answer = [0; 2 * LONGEST_MESSAGE];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer =
        NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(&answer[..length]).map_err(io::Error::other)?;
    let family = match answer.payload {
        NetlinkPayload::InnerMessage(message) => message.payload.nlas,
        NetlinkPayload::Error(error) => return Err(error.to_io()),
        _ => return Err(Errno::EPROTO.into()),
    };
    let groups = family.into_iter().filter_map(|attribute| match attribute {
        GenlCtrlAttrs::McastGroups(groups) => Some(groups),
        _ => None,
    });
    let report = groups.flatten().find(|group| group.contains(&McastGrpAttrs::Name(GROUP.to_owned())));
    let number = report.into_iter().flatten().find_map(|attribute| match attribute {
        McastGrpAttrs::Id(number) => Some(number),
        McastGrpAttrs::Name(_) => None,
    });
    number.ok_or_else(|| Errno::ENOENT.into())
}

/// A socket that is sent what goes to this group.
pub fn listen(group: u32) -> nix::Result<OwnedFd> {
    let socket = generic_netlink()?;
    // SAFETY: the option takes a number of four bytes, which this is.
    Errno::result(unsafe {
        nix::libc::setsockopt(
            socket.as_raw_fd(),
            nix::libc::SOL_NETLINK,
            nix::libc::NETLINK_ADD_MEMBERSHIP,
            (&raw const group).cast(),
            size_of_val(&group) as nix::libc::socklen_t,
        )
    })?;
    Ok(socket)
}

fn generic_netlink() -> nix::Result<OwnedFd> {
    // The enumeration of nix lacks this protocol.
    // SAFETY: no memory is involved.
    let descriptor = Errno::result(unsafe {
        nix::libc::socket(
            nix::libc::AF_NETLINK,
            nix::libc::SOCK_RAW | nix::libc::SOCK_CLOEXEC,
            nix::libc::NETLINK_GENERIC,
        )
    })?;
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// A report as it came, with the numbers of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawReport {
    pub error: u32,
    pub context: String,
    pub from_pid: u32,
    pub from_tid: u32,
    pub to_pid: Option<u32>,
    pub to_tid: Option<u32>,
    pub is_reply: bool,
    pub flags: u32,
    pub code: u32,
    pub data_size: u32,
}

/// Reads a message. The error says what is wrong with it.
pub fn read(message: &[u8]) -> Result<RawReport, String> {
    let malformed = |error| format!("a report of the driver cannot be read: {error}");
    let attributes = message.get(HEADERS..).ok_or_else(|| malformed("it is cut off".to_owned()))?;
    let mut report = RawReport::default();
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|error| malformed(error.to_string()))?;
        let number = || parse_u32(attribute.value()).map_err(|error| malformed(error.to_string()));
        // enum binder_a_report of linux/android/binder_netlink.h, which counts from 1.
        match attribute.kind() {
            1 => report.error = number()?,
            2 => {
                report.context =
                    parse_string(attribute.value()).map_err(|error| malformed(error.to_string()))?
            }
            3 => report.from_pid = number()?,
            4 => report.from_tid = number()?,
            5 => report.to_pid = Some(number()?),
            6 => report.to_tid = Some(number()?),
            7 => report.is_reply = true,
            8 => report.flags = number()?,
            9 => report.code = number()?,
            10 => report.data_size = number()?,
            other => return Err(malformed(format!("it has an attribute {other}, which nobody knows"))),
        }
    }
    Ok(report)
}
