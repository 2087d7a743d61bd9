//! Targets by name: the one place where the words after `--target` become a target.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reference_driver::Profile;

use super::device::DeviceTarget;
use super::guest::{GUEST_MODULES, GuestOptions, GuestTarget, Module, with_needs};
use super::qemu::{Accelerator, Qemu};
use super::uml::Uml;
use super::{ReferenceTarget, Target};
use crate::engine::SetUpError;
use crate::kernel::{Boots, BuiltFor, Store};

/// The ways to name a target, each with what it is.
const KNOWN: &[(&str, &str)] = &[
    ("reference", "the reference driver, in this process"),
    ("reference:c-6.1", "the same as a model of the driver of Linux 6.1"),
    ("reference:c-6.12", "the same as a model of the driver of Linux 6.12"),
    ("reference:rust", "the same as a model of the driver in Rust"),
    ("device:PATH", "a binder device of this machine"),
    ("vm:debian-6.12", "a stock kernel in QEMU"),
    ("vm:PATH", "a kernel of your own in QEMU"),
    ("uml:PATH", "a kernel of your own for User-mode Linux"),
    ("built:NAME", "a kernel of `binderdrill kernel build`"),
    ("patched:KEY", "a kernel of `binderdrill patch`"),
];

/// What a target is given besides its name.
#[derive(Debug, Clone)]
pub struct TargetOptions {
    /// Modules that a kernel of one's own is booted with, in the order in which they are loaded.
    pub modules: Vec<PathBuf>,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
    /// How many processors a guest has.
    pub cpus: u32,
    /// How to emulate; `None` tries.
    pub accelerator: Option<Accelerator>,
    /// How long nothing may happen before something is said to hang.
    pub patience: Duration,
}

impl Default for TargetOptions {
    fn default() -> Self {
        TargetOptions {
            modules: Vec::new(),
            append: Vec::new(),
            cpus: 1,
            accelerator: None,
            patience: super::device::PATIENCE,
        }
    }
}

/// Why there is no target of a name.
#[derive(Debug, thiserror::Error)]
pub enum NoTarget {
    /// It is no name of a target.
    #[error("there is no target {name:?}; there is {}", known())]
    Unknown {
        /// What the user wrote.
        name: String,
    },
    /// It is one, and cannot be used.
    #[error("the target {name} cannot be used: {reason}")]
    Unusable {
        /// What the user wrote.
        name: String,
        /// Why not, and what to do.
        reason: String,
    },
}

fn known() -> String {
    let known: Vec<String> = KNOWN.iter().map(|(name, what)| format!("`{name}` ({what})")).collect();
    known.join(", ")
}

/// What a stock kernel is told. The security module that it would use by itself, AppArmor, gives the driver no security
/// contexts; SELinux does, also without a policy.
const STOCK_SWITCHES: &[&str] = &["security=selinux"];

/// Whether this is a target of which there can be several at a time: each is a kernel of its own.
pub fn is_guest(name: &str) -> bool {
    name.split_once(':').is_some_and(|(kind, _)| ["vm", "uml", "built", "patched"].contains(&kind))
}

/// The target of this name.
pub fn named(name: &str, options: &TargetOptions) -> Result<Box<dyn Target>, NoTarget> {
    let unusable = |reason: String| NoTarget::Unusable { name: name.to_owned(), reason };
    match name.split_once(':') {
        None if name == "reference" => Ok(Box::new(ReferenceTarget::new(Profile::C))),
        Some(("reference", model)) => {
            let profile = Profile::named(model).ok_or_else(|| NoTarget::Unknown { name: name.to_owned() })?;
            Ok(Box::new(ReferenceTarget::new(profile)))
        }
        Some(("device" | "vm" | "uml" | "built" | "patched", "")) => {
            Err(NoTarget::Unknown { name: name.to_owned() })
        }
        Some(("device", path)) => {
            let target = DeviceTarget::new(Path::new(path), options.patience);
            Ok(Box::new(target.map_err(|error| unusable(error.to_string()))?))
        }
        Some(("vm", kernel)) => {
            let target = vm(name, kernel, options);
            Ok(Box::new(target.map_err(|error| unusable(error.to_string()))?))
        }
        Some(("built", built)) => {
            let store = Store::of_user().map_err(|error| unusable(error.to_string()))?;
            let built = store.built(built).map_err(|error| unusable(error.to_string()))?;
            let image = built.image().display().to_string();
            let target = match built.kind {
                BuiltFor::Uml => uml(name, &image, options),
                BuiltFor::Qemu => vm(name, &image, options),
            };
            Ok(Box::new(target.map_err(|error| unusable(error.to_string()))?))
        }
        Some(("patched", key)) => {
            let store = Store::of_user().map_err(|error| unusable(error.to_string()))?;
            let patched = store.patched(key).map_err(|error| unusable(error.to_string()))?;
            let image = patched.image();
            let shown = image.display().to_string();
            let target = match &patched.boots {
                Boots::Image(BuiltFor::Uml) => uml(name, &shown, options),
                Boots::Image(BuiltFor::Qemu) => vm(name, &shown, options),
                Boots::Stock(stock) => {
                    vm(name, stock, &TargetOptions { modules: vec![image], ..options.clone() })
                }
            };
            Ok(Box::new(target.map_err(|error| unusable(error.to_string()))?))
        }
        Some(("uml", kernel)) => {
            let target = uml(name, kernel, options);
            Ok(Box::new(target.map_err(|error| unusable(error.to_string()))?))
        }
        _ => Err(NoTarget::Unknown { name: name.to_owned() }),
    }
}

/// A kernel of User-mode Linux.
fn uml(name: &str, kernel: &str, options: &TargetOptions) -> Result<GuestTarget, SetUpError> {
    let guest = GuestOptions {
        kernel: PathBuf::from(kernel),
        modules: own_modules(options)?,
        switches: &[],
        append: options.append.clone(),
        cpus: options.cpus,
        patience: options.patience,
    };
    Ok(GuestTarget::new(name, &guest, Uml::new(&guest)?))
}

/// The modules that the user gives.
fn own_modules(options: &TargetOptions) -> Result<Vec<Module>, SetUpError> {
    let modules = options.modules.iter().map(|path| Module::read(path));
    modules.collect::<Result<_, _>>().map_err(|error| SetUpError(error.to_string()))
}

/// A kernel in a virtual machine: a stock kernel by its name, or any image by its path.
fn vm(name: &str, kernel: &str, options: &TargetOptions) -> Result<GuestTarget, SetUpError> {
    let set_up = |error: &dyn std::fmt::Display| SetUpError(error.to_string());
    let (image, mut modules, switches) = if kernel.starts_with("debian-") && !kernel.contains('/') {
        let store = Store::of_user().map_err(|error| set_up(&error))?;
        let kernel = store.kernel(kernel).map_err(|error| set_up(&error))?;
        let modules = with_needs(&kernel.modules(), GUEST_MODULES).map_err(|error| set_up(&error))?;
        (kernel.image(), modules, STOCK_SWITCHES)
    } else {
        (PathBuf::from(kernel), Vec::new(), [].as_slice())
    };
    for module in own_modules(options)? {
        // One's own driver takes the place of the stock one.
        modules.retain(|stock| stock.name != module.name);
        modules.push(module);
    }
    let guest = GuestOptions {
        kernel: image,
        modules,
        switches,
        append: options.append.clone(),
        cpus: options.cpus,
        patience: options.patience,
    };
    Ok(GuestTarget::new(name, &guest, Qemu::new(name, &guest, options.accelerator)?))
}
