//! Arbitrary calls, each with an expectation that makes sense for it.

use binderdrill::program::*;
use proptest::collection::vec;
use proptest::prelude::*;
use strum::IntoEnumIterator;

use super::operand::{byte_count, errno, file, handle, instance, node, object, object_token, process};

pub fn call_and_expectation() -> impl Strategy<Value = (Call, CallExpectation)> {
    call().prop_flat_map(|call| {
        let expected = expectation(&call);
        (Just(call), expected)
    })
}

fn call() -> impl Strategy<Value = Call> {
    let counters: Vec<Counter> = Counter::iter().collect();
    let system_call = prop_oneof![
        (super::context(), any::<bool>()).prop_map(|(context, nonblock)| Call::Open { context, nonblock }),
        Just(Call::Close),
        Just(Call::Flush),
        Just(Call::Unshare),
        (byte_count(), any::<[bool; 2]>(), proptest::option::of(place()))
            .prop_map(|(size, [write, shared], at)| Call::Mmap { size, write, shared, at }),
        proptest::option::of(pages()).prop_map(Call::Munmap),
        (pages(), proptest::sample::select(Protection::iter().collect::<Vec<_>>()))
            .prop_map(|(pages, protection)| Call::Mprotect { pages, protection }),
        proptest::sample::select(vec![Call::Epoll, Call::EpollClose, Call::DropCaches]),
        Just(Call::Exit),
        process().prop_map(Call::Fork),
        prop_oneof![any::<i32>().prop_map(Call::SetPriority), Just(Call::GetPriority)],
        prop_oneof![
            scheduling().prop_map(Call::SetScheduler),
            Just(Call::GetScheduler),
            any::<u32>().prop_map(Call::LimitNice)
        ],
        (file(), file()).prop_map(|(reading, writing)| Call::Pipe { reading, writing }),
        process().prop_map(Call::Signal),
        any::<u32>().prop_map(Call::LimitDescriptors),
        (instance(), binderfs_call()).prop_map(|(instance, call)| Call::Binderfs { instance, call }),
        proptest::sample::select(counters).prop_map(Call::Count),
    ];
    // Files are hard to speak of, as they must be there.
    let of_a_file = prop_oneof![
        3 => file().prop_map(Call::PollDescriptor),
        3 => file().prop_map(Call::CloseDescriptor),
        4 => file().prop_map(Call::Use),
    ];
    prop_oneof![
        4 => system_call,
        2 => prop_oneof![file().prop_map(Call::Memfd), file().prop_map(Call::Dup)],
        1 => timeout_ms().prop_map(|timeout_ms| Call::Poll { timeout_ms }),
        1 => timeout_ms().prop_map(|timeout_ms| Call::EpollWait { timeout_ms }),
        8 => of_a_file,
        4 => ioctl().prop_map(Call::Ioctl),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    (PLACES.start / PAGE..PLACES.end / PAGE).prop_filter_map("a place", |page| Place::new(page * PAGE))
}

fn pages() -> impl Strategy<Value = Pages> {
    (place(), 1u64..2000).prop_filter_map("pages", |(place, count)| Pages::new(place, count * PAGE))
}

fn scheduling() -> impl Strategy<Value = Scheduling> {
    let policies: Vec<SchedulingPolicy> = SchedulingPolicy::iter().collect();
    (proptest::sample::select(policies), any::<i32>())
        .prop_map(|(policy, priority)| Scheduling { policy, priority })
}

fn binderfs_call() -> impl Strategy<Value = BinderfsCall> {
    let path = || {
        let words = ["binder", "features/extended_error", "a \"b\"", "ä"];
        proptest::sample::select(words.to_vec())
            .prop_filter_map("a path", |word| PathWithin::new(word.into()))
    };
    let device = path().prop_filter("a device", |path| !path.as_str().contains('/'));
    let name = any::<String>().prop_filter_map("a name", DeviceName::new);
    prop_oneof![
        proptest::option::of(any::<u32>()).prop_map(|max| BinderfsCall::Mount { max }),
        Just(BinderfsCall::Unmount),
        argument(name).prop_map(BinderfsCall::Add),
        (device, any::<bool>()).prop_map(|(path, nonblock)| BinderfsCall::Open { path, nonblock }),
        path().prop_map(BinderfsCall::Unlink),
        path().prop_map(BinderfsCall::Read),
    ]
}

fn ioctl() -> impl Strategy<Value = Ioctl> {
    let flags = prop_oneof![Just(0), Just(0x1000), any::<u32>()];
    let object = (object(), flags).prop_map(|(object, flags)| ContextManagerObject { object, flags });
    prop_oneof![
        Just(Ioctl::WriteReadUnmapped),
        argument(any::<i64>()).prop_map(Ioctl::SetIdleTimeout),
        argument(any::<u32>()).prop_map(Ioctl::SetMaxThreads),
        argument(any::<i32>()).prop_map(Ioctl::SetIdlePriority),
        Just(Ioctl::SetContextMgr),
        argument(object).prop_map(Ioctl::SetContextMgrExt),
        Just(Ioctl::ThreadExit),
        argument(Just(())).prop_map(Ioctl::Version),
        argument(object_token()).prop_map(Ioctl::GetNodeDebugInfo),
        argument(node_info_request()).prop_map(Ioctl::GetNodeInfoForRef),
        argument(freeze_request()).prop_map(Ioctl::Freeze),
        argument(pid()).prop_map(Ioctl::GetFrozenInfo),
        argument(any::<u32>()).prop_map(Ioctl::EnableOnewaySpamDetection),
        argument(Just(())).prop_map(Ioctl::GetExtendedError),
        (any::<u32>(), any::<u64>()).prop_map(|(request, argument)| Ioctl::Raw { request, argument }),
    ]
}

fn pid() -> impl Strategy<Value = PidPattern> {
    prop_oneof![process().prop_map(PidPattern::Process), any::<i32>().prop_map(PidPattern::Number)]
}

fn freeze_request() -> impl Strategy<Value = FreezeRequest> {
    (pid(), any::<u32>(), prop_oneof![Just(0), any::<u32>()])
        .prop_map(|(pid, enable, timeout_ms)| FreezeRequest { pid, enable, timeout_ms })
}

fn node_info_request() -> impl Strategy<Value = NodeInfoRequest> {
    let count = || prop_oneof![Just(0), any::<u32>()];
    (handle(), count(), count(), count(), count(), count()).prop_map(
        |(handle, strong_count, weak_count, reserved1, reserved2, reserved3)| NodeInfoRequest {
            handle,
            strong_count,
            weak_count,
            reserved1,
            reserved2,
            reserved3,
        },
    )
}

fn told(call: &Call) -> Option<BoxedStrategy<Told>> {
    let id = proptest::option::of(prop_oneof![Just(TransactionId::Zero), Just(TransactionId::NonZero)]);
    let two = (any::<u32>(), any::<u32>());
    Some(match call {
        Call::GetScheduler => scheduling().prop_map(Told::Scheduling).boxed(),
        Call::Ioctl(Ioctl::GetFrozenInfo(_)) => {
            two.prop_map(|(sync_recv, async_recv)| Told::FrozenInfo { sync_recv, async_recv }).boxed()
        }
        Call::Ioctl(Ioctl::GetNodeInfoForRef(_)) => two
            .prop_map(|(strong_count, weak_count)| Told::NodeInfoForRef { strong_count, weak_count })
            .boxed(),
        Call::Ioctl(Ioctl::GetExtendedError(_)) => (id, any::<u32>(), any::<i32>())
            .prop_map(|(id, command, param)| Told::ExtendedError { id, command, param })
            .boxed(),
        Call::Ioctl(Ioctl::GetNodeDebugInfo(_)) => (node(), two)
            .prop_map(|(node, (has_strong_ref, has_weak_ref))| Told::NodeDebugInfo {
                node,
                has_strong_ref,
                has_weak_ref,
            })
            .boxed(),
        _ => return None,
    })
}

fn argument<T: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Argument<T>> {
    prop_oneof![3 => value.prop_map(Argument::Value), 1 => Just(Argument::Unmapped)]
}

fn is_poll(call: &Call) -> bool {
    matches!(call, Call::Poll { .. } | Call::PollDescriptor(_) | Call::EpollWait { .. })
}

fn timeout_ms() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), any::<u32>()]
}

fn expectation(call: &Call) -> BoxedStrategy<CallExpectation> {
    let failure = errno().prop_map(CallExpectation::Fails);
    let value = any::<i64>().prop_map(CallExpectation::Value);
    let events = any::<(bool, bool, bool, bool)>().prop_map(|(readable, error, hangup, invalid)| {
        CallExpectation::Events(PollEvents { readable, error, hangup, invalid })
    });
    let one = match call {
        Call::Exit => return Just(CallExpectation::Succeeds).boxed(),
        call if is_poll(call) && call.may_sleep() => {
            prop_oneof![Just(CallExpectation::Succeeds), failure, events, Just(CallExpectation::Parked)]
                .boxed()
        }
        call if is_poll(call) => prop_oneof![Just(CallExpectation::Succeeds), failure, events].boxed(),
        Call::Count(_)
        | Call::GetPriority
        | Call::Ioctl(Ioctl::Version(_))
        | Call::Binderfs { call: BinderfsCall::Read(_), .. } => {
            prop_oneof![Just(CallExpectation::Succeeds), failure, value].boxed()
        }
        Call::Ioctl(Ioctl::Freeze(_)) => {
            prop_oneof![Just(CallExpectation::Succeeds), failure, Just(CallExpectation::Parked)].boxed()
        }
        call => match told(call) {
            Some(told) => {
                let tells = told.prop_map(CallExpectation::Tells);
                prop_oneof![Just(CallExpectation::Succeeds), failure, tells].boxed()
            }
            None => prop_oneof![Just(CallExpectation::Succeeds), failure].boxed(),
        },
    };
    prop_oneof![5 => one.clone(), 1 => vec(one, 2..4).prop_map(CallExpectation::AnyOf)].boxed()
}
