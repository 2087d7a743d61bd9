//! Commands: what a step writes.

use super::Refusal;
use super::names::{Names, long};
use super::payload::{self, array, line, word};
use crate::engine::{self, payload as layout};
use crate::program::*;
use crate::script::fragment;

/// Puts a command into the write buffer. `place` tells the payloads of a step apart.
pub(super) fn put(
    text: &mut String,
    command: &Command,
    place: usize,
    names: &mut Names,
) -> Result<(), Refusal> {
    let code = fragment::command_word(command);
    let put = match command {
        Command::Transaction { target, transaction } => {
            let handle = names.handle(target);
            let data = sent(text, transaction, Some(&handle), place, names)?;
            format!("put_transaction({code}, {data});")
        }
        Command::Reply(transaction) => {
            let data = sent(text, transaction, None, place, names)?;
            format!("put_transaction({code}, {data});")
        }
        Command::TransactionSg { target, transaction, buffers_size } => {
            let handle = names.handle(target);
            let data = sent(text, transaction, Some(&handle), place, names)?;
            let size = buffers_size.unwrap_or_else(|| engine::size_of_buffers(transaction));
            format!("put_transaction_sg({code}, {data}, {});", long(size))
        }
        Command::ReplySg { transaction, buffers_size } => {
            let data = sent(text, transaction, None, place, names)?;
            let size = buffers_size.unwrap_or_else(|| engine::size_of_buffers(transaction));
            format!("put_transaction_sg({code}, {data}, {});", long(size))
        }
        Command::AcquireResult(result) => format!("put_number({code}, (__u32){result});"),
        Command::FreeBuffer(address) => format!("put_address({code}, {});", names.address(address)),
        Command::Increfs(handle)
        | Command::Acquire(handle)
        | Command::Release(handle)
        | Command::Decrefs(handle) => {
            format!("put_number({code}, {});", names.handle(handle))
        }
        Command::AttemptAcquire(handle) => {
            // struct binder_pri_desc: a priority, and the handle.
            line(text, &format!("put_number({code}, 0);"));
            format!("put_code({});", names.handle(handle))
        }
        Command::IncrefsDone(node) | Command::AcquireDone(node) => {
            let (pointer, cookie) = names.node(node);
            format!("put_node({code}, {pointer}, {cookie});")
        }
        Command::RegisterLooper | Command::EnterLooper | Command::ExitLooper => format!("put_code({code});"),
        Command::RequestDeathNotification(handle, cookie)
        | Command::ClearDeathNotification(handle, cookie)
        | Command::RequestFreezeNotification(handle, cookie)
        | Command::ClearFreezeNotification(handle, cookie) => {
            format!("put_handle_cookie({code}, {}, {});", names.handle(handle), names.token(cookie))
        }
        Command::DeadBinderDone(cookie) | Command::FreezeNotificationDone(cookie) => {
            format!("put_address({code}, {});", names.token(cookie))
        }
        Command::Bytes(bytes) if bytes.is_empty() => return Ok(()),
        Command::Bytes(bytes) => format!("put({}, {});", array(bytes), bytes.len()),
    };
    line(text, &put);
    Ok(())
}

/// Puts a payload into memory, and gives what is said of it.
fn sent(
    text: &mut String,
    sent: &Transaction,
    handle: Option<&str>,
    place: usize,
    names: &mut Names,
) -> Result<String, Refusal> {
    let placed = layout::place(&sent.data);
    let places = layout::object_offsets(&placed);
    let length = layout::total_length(&placed);
    if length > (1 << 23) {
        return Err("the payload is longer than 8 MiB");
    }
    let data = format!("data_{place}");
    let mut bases = Vec::new();
    // An empty payload has an address, too.
    line(text, &format!("unsigned char *{data} = payload({length});"));
    let mut contents = Vec::new();
    for (index, object) in layout::objects(&sent.data).enumerate() {
        bases.push(match object {
            Object::Buffer(object) => {
                let name = format!("buffer_{place}_{index}");
                let length = layout::total_length(&layout::place(&object.content));
                line(text, &format!("unsigned char *{name} = payload({length});"));
                let stated = object.buffer.as_ref().map(|address| names.address(address));
                let base = stated.unwrap_or_else(|| format!("address_of({name})"));
                contents.push((name, object));
                Some(base)
            }
            _ => None,
        });
    }
    let offsets = sent.offsets.as_deref().unwrap_or(&places);
    line(text, &format!("unsigned char *offsets_{place} = payload({});", offsets.len() * 8));
    text.push('\n');
    payload::put(text, &data, &sent.data, &bases, names)?;
    for (name, object) in contents {
        payload::put(text, &name, &object.content, &bases, names)?;
        line(text, &format!("(void){name};"));
    }
    if !offsets.is_empty() {
        let listed: Vec<String> = offsets.iter().map(|offset| long(*offset)).collect();
        line(
            text,
            &format!(
                "set_offsets(offsets_{place}, {}, (const binder_size_t[]){{ {} }});",
                offsets.len(),
                listed.join(", ")
            ),
        );
    }
    // They may be given other addresses.
    line(text, &format!("(void){data}, (void)offsets_{place};"));
    let mut fields = Vec::new();
    fields.extend(handle.map(|handle| format!(".target.handle = {handle}")));
    fields.extend(sent.cookie.map(|cookie| format!(".cookie = {}", long(cookie))));
    if sent.code != 0 {
        fields.push(format!(".code = {}", word(sent.code)));
    }
    if sent.flags != 0 {
        fields.push(format!(".flags = {}", fragment::transaction_flags(sent.flags)));
    }
    fields.extend(sent.sender_pid.map(|pid| format!(".sender_pid = {pid}")));
    fields.extend(sent.sender_euid.map(|euid| format!(".sender_euid = {}", word(euid))));
    fields.push(format!(".data_size = {}", long(sent.data_size.unwrap_or(length))));
    fields.push(format!(".offsets_size = {}", long(sent.offsets_size.unwrap_or(offsets.len() as u64 * 8))));
    let buffer = sent.buffer.as_ref().map(|address| names.address(address));
    fields.push(format!(".data.ptr.buffer = {}", buffer.unwrap_or_else(|| format!("address_of({data})"))));
    let table = sent.offsets_buffer.as_ref().map(|address| names.address(address));
    fields.push(format!(
        ".data.ptr.offsets = {}",
        table.unwrap_or_else(|| format!("address_of(offsets_{place})"))
    ));
    Ok(format!("(struct binder_transaction_data){{\n\t\t{} }}", fields.join(",\n\t\t")))
}
