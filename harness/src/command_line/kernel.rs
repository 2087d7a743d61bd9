//! `binderdrill kernel`: the kernels that can be booted.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, Subcommand};
use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressStyle};

use super::{CommandError, Status, complain, tell};
use crate::kernel::{
    BUILT_PREFIX, BuiltFor, BuiltName, Choices, DriverKind, Instrument, KernelError, Order, PACKAGE_PREFIX,
    PATCHED_PREFIX, STOCK, SourceChoice, Store, Supply, Told, usual,
};
use crate::target::qemu;

#[derive(Debug, Subcommand)]
pub(super) enum KernelCommand {
    /// List the kernels that are there, fetched or built, and the usual ones that are not
    List,
    /// Fetch stock kernels of Debian, such as debian-6.12, or sources, in place of older ones; without a name, the
    /// usual kernels
    Fetch {
        /// `debian-` and the beginning of a version: the newest such kernel that Debian has. Or a source, such as
        /// linux-source-7.3: the newest revision of it
        name: Vec<String>,
    },
    /// Build a kernel with a Binder driver from source
    Build(BuildArguments),
    /// Print where the image of a kernel is
    Path {
        /// Its name, as in the list
        name: String,
    },
    /// Delete kernels, sources or what is kept for patches, with all that belongs to them
    Remove {
        /// Their names, as in the list
        #[arg(required = true)]
        name: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct BuildArguments {
    /// A package of Debian, such as linux-source-7.3, or the path of a clean tree, which is only read. Without it,
    /// the newest package: of those that are there, or else of those that Debian has
    #[arg(long, value_name = "PACKAGE|PATH")]
    source: Option<String>,
    /// Which driver it has
    #[arg(long, value_enum, default_value_t = DriverKind::C)]
    driver: DriverKind,
    /// What it runs on
    #[arg(long = "for", value_enum, default_value_t = BuiltFor::Uml)]
    kind: BuiltFor,
    /// What it watches itself with
    #[arg(long, value_enum, value_delimiter = ',')]
    with: Vec<Instrument>,
    /// What to call it. Without it, it is called by what was chosen, as in uml-rust or 7.3-qemu-c-kasan
    #[arg(long)]
    name: Option<String>,
}

pub(super) fn kernel(command: &KernelCommand, out: &mut dyn Write) -> Result<Status, CommandError> {
    let store = Store::of_user()?;
    match command {
        KernelCommand::List => list(&store, out)?,
        KernelCommand::Fetch { name } => {
            let usual: Vec<String> = STOCK.iter().map(|name| (*name).to_owned()).collect();
            for name in if name.is_empty() { &usual } else { name } {
                if name.starts_with(PACKAGE_PREFIX) {
                    let fetched =
                        store.fetch_source(&name.parse()?, &mut |what| tell(&format!("{name}: {what}")))?;
                    let revision = fetched.unpacked.revision.unwrap_or_default();
                    let how = if fetched.was_there { "was there" } else { "fetched" };
                    writeln!(out, "{name} is {revision} ({how})")?;
                    continue;
                }
                let kernel = store.fetch(name, &mut |what| tell(&format!("{name}: {what}")))?;
                writeln!(out, "{name} is Linux {}", kernel.release())?;
            }
        }
        KernelCommand::Build(arguments) => build(&store, arguments, out)?,
        KernelCommand::Path { name } if name.starts_with(BUILT_PREFIX) => {
            writeln!(out, "{}", store.built(name)?.image().display())?;
        }
        KernelCommand::Path { name } if name.starts_with(PATCHED_PREFIX) => {
            writeln!(out, "{}", store.patched(name)?.image().display())?;
        }
        KernelCommand::Path { name } => writeln!(out, "{}", store.kernel(name)?.image().display())?,
        KernelCommand::Remove { name } => {
            // One that cannot be removed does not keep the others.
            let mut errors: Vec<CommandError> =
                name.iter().filter_map(|name| remove(&store, name).err()).collect();
            let last = errors.pop();
            errors.iter().for_each(|error| complain(&error.to_string()));
            if let Some(last) = last {
                return Err(last);
            }
        }
    }
    Ok(Status::AsExpected)
}

/// Removes a kernel, and what of it is kept elsewhere.
fn remove(store: &Store, name: &str) -> Result<(), CommandError> {
    store.remove(name)?;
    let is_target = name.starts_with(BUILT_PREFIX) || name.starts_with(PATCHED_PREFIX);
    let target = if is_target { name.to_owned() } else { format!("vm:{name}") };
    if name.parse::<Supply>().is_err() {
        qemu::forget_snapshots(&target)?;
    }
    Ok(())
}

fn build(store: &Store, arguments: &BuildArguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let order = arguments.order()?;
    let name = order.name()?;
    let started = Instant::now();
    let progress = Progress::new(&name);
    let outcome = store.build(&order, &mut |told| progress.show(told));
    progress.bar.finish_and_clear();
    let outcome = outcome?;
    let (kernel, seconds) = (&outcome.kernel, started.elapsed().as_secs_f64());
    let how = if outcome.was_there { "was there" } else { "built" };
    writeln!(
        out,
        "{BUILT_PREFIX}{} is Linux {} with the {} driver, for {} ({how}, {seconds:.1} s)\n{}",
        kernel.name,
        kernel.release,
        kernel.driver.title(),
        kernel.kind,
        kernel.image().display(),
    )?;
    Ok(())
}

impl BuildArguments {
    fn order(&self) -> Result<Order, KernelError> {
        let source = self.source.as_deref().map_or(Ok(SourceChoice::Newest), str::parse)?;
        let with = self.with.iter().copied().collect();
        let name = self.name.as_deref().map(str::parse::<BuiltName>).transpose()?;
        Ok(Order { source, choices: Choices { kind: self.kind, driver: self.driver, with }, name })
    }
}

/// How far a build is: a line on a terminal; elsewhere only what begins.
struct Progress {
    bar: ProgressBar,
    name: String,
}

impl Progress {
    fn new(name: &BuiltName) -> Progress {
        let style = ProgressStyle::with_template("{elapsed_precise} {prefix} {wide_msg}")
            .expect("a well-formed template");
        let bar = ProgressBar::new_spinner().with_style(style).with_prefix(format!("{BUILT_PREFIX}{name}"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Progress { bar, name: name.to_string() }
    }

    fn show(&self, told: Told<'_>) {
        match told {
            Told::Begun(what) if self.bar.is_hidden() => {
                tell(&format!("{BUILT_PREFIX}{}: {what}", self.name));
            }
            Told::Begun(what) => self.bar.set_message(what.to_owned()),
            Told::Step(number, step) => self.bar.set_message(format!("step {number}: {step}")),
        }
    }
}

fn list(store: &Store, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut rows = Vec::new();
    let mut row = |name: String, what: String, since: Option<SystemTime>, verb: &str| {
        let size = store.size(&name).map_or_else(|_| String::new(), |size| DecimalBytes(size).to_string());
        rows.push([name, what, size, since.map_or_else(String::new, |since| age(verb, since))]);
    };
    for kernel in store.kernels() {
        row(kernel.name.clone(), format!("Linux {}", kernel.release()), kernel.fetched(), "fetched");
    }
    let (built, half) = store.all_built();
    for kernel in built {
        let what = format!("Linux {}, from {}", kernel.release, kernel.source);
        row(format!("{BUILT_PREFIX}{}", kernel.name), what, kernel.built(), "built");
    }
    for (name, error) in half {
        let what = match error {
            KernelError::NotBuilt { .. } => "not built to the end".to_owned(),
            other => other.to_string(),
        };
        row(format!("{BUILT_PREFIX}{name}"), what, None, "");
    }
    for patched in store.all_patched() {
        let what = format!("{} with \"{}\"", patched.base, patched.title);
        row(patched.target(), what, patched.built(), "built");
    }
    for source in store.sources() {
        let what = match &source.revision {
            Some(revision) => format!("a source, {revision}"),
            None => {
                format!("a source, of which revision nobody knows: binderdrill kernel fetch {}", source.name)
            }
        };
        row(source.name.to_string(), what, source.fetched, "fetched");
    }
    for (supply, since) in store.supplies() {
        row(supply.to_string(), supply.title(), since, "kept");
    }
    for missing in usual() {
        if rows.iter().any(|row| row[0] == missing.name) {
            continue;
        }
        rows.push([missing.name, format!("missing: {}", missing.command), String::new(), String::new()]);
    }
    let widths = [0, 1, 2].map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    for [name, what, size, age] in &rows {
        let line = format!("{name:<0$}  {what:<1$}  {size:>2$}  {age}", widths[0], widths[1], widths[2]);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn age(verb: &str, since: SystemTime) -> String {
    let age = SystemTime::now().duration_since(since).unwrap_or_default();
    format!("{verb} {} ago", HumanDuration(age))
}
