//! The store: the folder in the user's cache in which kernels are kept, with all that belongs to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::lock::Lock;
use super::{
    BUILT_PREFIX, Boots, Built, BuiltName, Choices, Fetched, Image, Instrument, KernelError, ModuleKind,
    Notes, Order, Outcome, PACKAGE_PREFIX, PATCHED_PREFIX, Patched, Source, SourceChoice, SourceName,
    StockName, Supply, Told, Unpacked, build, built, commit, file_error, module, patched, remove_all, source,
    space, stock,
};
use crate::patch::Changes;

/// The folder in which kernels are kept.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A kernel in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What it is called.
    pub name: String,
    /// The folder that holds it.
    pub(super) folder: PathBuf,
}

impl Store {
    /// The store of this user.
    pub fn of_user() -> Result<Store, KernelError> {
        let folders = directories::ProjectDirs::from("", "", "binderdrill").ok_or_else(|| {
            KernelError::Unavailable(
                "this user has no home in which kernels could be kept: set HOME".to_owned(),
            )
        })?;
        Ok(Store { folder: folders.cache_dir().join("kernels") })
    }

    /// A kernel that has been fetched.
    pub fn kernel(&self, name: &str) -> Result<Kernel, KernelError> {
        let name: StockName = name.parse()?;
        let kernel = self.place_of(&name);
        if kernel.image().exists() { Ok(kernel) } else { Err(KernelError::Missing(kernel.name)) }
    }

    /// Fetches a kernel, in place of an older one of the same name. `tell` is told what is being done.
    pub fn fetch(&self, name: &str, tell: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
        let name: StockName = name.parse()?;
        let kernel = self.place_of(&name);
        let at = |path| move |error| file_error(path, error);
        fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
        let fresh = tempfile::Builder::new()
            .prefix(".fetching-")
            .tempdir_in(&self.folder)
            .map_err(at(&self.folder))?;
        stock::fetch(&name, fresh.path(), tell)?;
        // Nobody ever sees half a kernel: it is moved into its place as a whole.
        if kernel.folder.exists() {
            fs::remove_dir_all(&kernel.folder).map_err(at(&kernel.folder))?;
        }
        fs::rename(fresh.keep(), &kernel.folder).map_err(at(&kernel.folder))?;
        Ok(kernel)
    }

    /// All kernels that have been fetched.
    pub fn kernels(&self) -> Vec<Kernel> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
        let mut kernels: Vec<_> = names.filter_map(|name| self.kernel(&name).ok()).collect();
        kernels.sort_by(|one, other| one.name.cmp(&other.name));
        kernels
    }

    /// A kernel that has been built, by its name, with or without the `built:` before it.
    pub fn built(&self, name: &str) -> Result<Built, KernelError> {
        let name: BuiltName = name.parse()?;
        Built::read(&name, &self.built_folder().join(name.to_string()))
    }

    /// Builds a kernel, unless it is there just as it would be built. `tell` is told what is being done.
    pub fn build(&self, order: &Order, tell: &mut dyn FnMut(Told<'_>)) -> Result<Outcome, KernelError> {
        build::build(order, &self.source_folder(), &self.built_folder(), tell)
    }

    /// The source of a kernel, fetched if it is a package and not there.
    pub fn source(&self, choice: &SourceChoice, tell: &mut dyn FnMut(&str)) -> Result<Source, KernelError> {
        choice.source(&self.source_folder(), tell)
    }

    /// What a kernel was built from, and with.
    pub fn order_of(&self, name: &str) -> Result<Order, KernelError> {
        let built = self.built(name)?;
        // A package is named with its revision.
        let source = match built.source.split_once(' ') {
            Some((package, _)) if package.starts_with(PACKAGE_PREFIX) => package.parse()?,
            _ => built.source.parse()?,
        };
        let choices = Choices { kind: built.kind, driver: built.driver, with: built.with.clone() };
        let called_so = Order { source, choices, name: None };
        if called_so.name().is_ok_and(|usual| usual.to_string() == built.name) {
            return Ok(called_so);
        }
        let source = SourceChoice::Newest;
        let newest = Order { source, choices: called_so.choices.clone(), name: None };
        if newest.name().is_ok_and(|usual| usual.to_string() == built.name) {
            return Ok(newest);
        }
        Ok(Order { name: Some(built.name.parse()?), ..called_so })
    }

    /// The source package of a stock kernel.
    pub fn source_of_stock(&self, name: &str) -> Result<SourceChoice, KernelError> {
        module::source_of(&self.kernel(name)?)
    }

    /// Builds a kernel with changes of its source, unless it is there; and before that, the kernel itself.
    pub fn build_patched(
        &self,
        base: &Order,
        changes: &Changes,
        title: &str,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Result<Patched, KernelError> {
        let built = self.build(base, tell)?.kernel;
        self.build_on(&built, &base.source, changes, title, tell)
    }

    /// The same, but so that the kernel counts which lines of its driver in Rust run. Of the kernel itself, nothing is
    /// compiled for that but the driver.
    pub fn build_counting(
        &self,
        base: &Order,
        changes: &Changes,
        title: &str,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Result<Patched, KernelError> {
        let mut built = self.build(base, tell)?.kernel;
        built.with.insert(Instrument::LlvmCov);
        self.build_on(&built, &base.source, changes, title, tell)
    }

    fn build_on(
        &self,
        built: &Built,
        source: &SourceChoice,
        changes: &Changes,
        title: &str,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Result<Patched, KernelError> {
        let source = self.source(source, &mut |what| tell(Told::Begun(what)))?;
        let folder = self.built_folder().join(&built.name);
        let base = patched::Base { built, folder: &folder, source: &source };
        patched::build(&base, changes, title, &self.patched_folder(), tell)
    }

    /// Builds the driver's module for a stock kernel out of its own source with changes, unless it is there.
    pub fn build_module(
        &self,
        name: &str,
        kind: ModuleKind,
        changes: &Changes,
        title: &str,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Result<Patched, KernelError> {
        let kernel = self.kernel(name)?;
        let source = self.source(&module::source_of(&kernel)?, &mut |what| tell(Told::Begun(what)))?;
        let headers = self.folder.join("headers");
        let base = module::Base { kernel: &kernel, source: &source, headers: &headers, kind };
        module::build(&base, changes, title, &self.patched_folder(), tell)
    }

    /// The tree of a commit in somebody's git repository, taken out of it once.
    pub fn tree_of_commit(
        &self,
        repository: &Path,
        revision: &str,
        needs: &[&str],
        tell: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, KernelError> {
        commit::tree(repository, revision, needs, &self.folder.join("trees"), tell)
    }

    /// Whether a folder is a git repository's, and has changes that are not committed.
    pub fn has_uncommitted_changes(&self, folder: &Path) -> bool {
        commit::has_uncommitted_changes(folder)
    }

    /// An order of a tree, with a name of its own if another tree has given a kernel the name that it would have, or if no
    /// kernel can be called so.
    pub fn named_apart(&self, order: Order) -> Result<Order, KernelError> {
        let SourceChoice::Tree(tree) = &order.source else { return Ok(order) };
        let source = self.source(&order.source, &mut |_| {})?.name;
        let is_of_another =
            |name: BuiltName| self.built(&name.to_string()).is_ok_and(|built: Built| built.source != source);
        // A folder may be called what no kernel can be.
        if order.name.is_some() || order.name().is_ok_and(|name| !is_of_another(name)) {
            return Ok(order);
        }
        let digest = hex::encode(&Sha256::digest(source.as_bytes())[..4]);
        let name = format!("tree-{digest}-{}", order.choices.name()).parse()?;
        Ok(Order { source: SourceChoice::Tree(tree.clone()), name: Some(name), ..order })
    }

    /// The files that a target of this store is made of.
    pub fn files_of(&self, target: &str) -> Result<Vec<PathBuf>, KernelError> {
        if target.starts_with(BUILT_PREFIX) {
            return Ok(vec![self.built(target)?.image()]);
        }
        let patched = self.patched(target)?;
        let mut files = vec![patched.image()];
        if let Boots::Stock(stock) = &patched.boots {
            files.push(self.kernel(stock)?.image());
        }
        Ok(files)
    }

    /// What is known of the counters of the kernel that a target boots.
    pub fn notes(&self, target: &str) -> Result<Notes, KernelError> {
        let (folder, image) = if target.starts_with(BUILT_PREFIX) {
            let built = self.built(target)?;
            (built.notes(), Image::Kernel(built.image()))
        } else if target.starts_with(PATCHED_PREFIX) {
            let patched = self.patched(target)?;
            let image = match patched.boots {
                Boots::Stock(_) => Image::Module(patched.image()),
                Boots::Image(_) => Image::Kernel(patched.image()),
            };
            (patched.notes(), image)
        } else {
            return Err(KernelError::CountsNothing { target: target.to_owned() });
        };
        Notes::read(folder, image).ok_or_else(|| KernelError::CountsNothing { target: target.to_owned() })
    }

    /// The folder in which what kernels did is kept.
    pub fn results_folder(&self) -> PathBuf {
        self.folder.join("results")
    }

    /// A patched kernel, by its key, with or without the `patched:` before it.
    pub fn patched(&self, key: &str) -> Result<Patched, KernelError> {
        Patched::read(&key.parse()?, &self.patched_folder())
    }

    /// All patched kernels, the oldest first.
    pub fn all_patched(&self) -> Vec<Patched> {
        patched::all(&self.patched_folder())
    }

    /// All kernels that were built, and those that were not built to the end, with the reason why they are of no use.
    pub fn all_built(&self) -> (Vec<Built>, Vec<(String, KernelError)>) {
        let entries = fs::read_dir(self.built_folder()).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect();
        names.sort();
        let (mut whole, mut half) = (Vec::new(), Vec::new());
        for name in names {
            match self.built(&name) {
                Ok(built) => whole.push(built),
                Err(error) => half.push((name, error)),
            }
        }
        (whole, half)
    }

    /// The sources that have been fetched.
    pub fn sources(&self) -> Vec<Unpacked> {
        source::unpacked(&self.source_folder())
    }

    /// Fetches a source, in place of an older revision of it. `tell` is told what is being done.
    pub fn fetch_source(
        &self,
        name: &SourceName,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Fetched, KernelError> {
        source::fetch(Some(name), &self.source_folder(), tell)
    }

    /// What is kept for patches besides kernels and sources, each with when it was made or last written to.
    pub fn supplies(&self) -> Vec<(Supply, Option<SystemTime>)> {
        let since = |supply: &Supply| fs::metadata(supply.folder(&self.folder)?).ok()?.modified().ok();
        Supply::all(&self.folder).into_iter().map(|supply| (supply.clone(), since(&supply))).collect()
    }

    /// Deletes a kernel or a source, by the name that a list gives it, with all that was kept for it.
    pub fn remove(&self, name: &str) -> Result<(), KernelError> {
        let folder = self.folder_of(name)?;
        if name.starts_with(PACKAGE_PREFIX) {
            return source::remove(&name.parse()?, &self.source_folder());
        }
        let _alone = if name.starts_with(BUILT_PREFIX) {
            let lock = Lock::take_if_free(&folder.join(built::kept::LOCK))?;
            Some(lock.ok_or_else(|| KernelError::Unavailable(format!("{name} is being built")))?)
        } else {
            None
        };
        remove_all(&folder)
    }

    /// How many bytes a kernel or a source takes, by the name that a list gives it.
    pub fn size(&self, name: &str) -> Result<u64, KernelError> {
        Ok(space::taken(&self.folder_of(name)?))
    }

    /// The folder of what a list gives this name. It is there.
    fn folder_of(&self, name: &str) -> Result<PathBuf, KernelError> {
        if name.starts_with(PACKAGE_PREFIX) {
            let source: SourceName = name.parse()?;
            let folder = self.source_folder().join(source.to_string());
            let unknown = || KernelError::Unavailable(format!("the source {source} has not been fetched"));
            return folder.is_dir().then_some(folder).ok_or_else(unknown);
        }
        if name.starts_with(BUILT_PREFIX) {
            let name: BuiltName = name.parse()?;
            let folder = self.built_folder().join(name.to_string());
            let unknown = || KernelError::NotBuilt { name: name.to_string(), half: false };
            return folder.is_dir().then_some(folder).ok_or_else(unknown);
        }
        if name.starts_with(PATCHED_PREFIX) {
            let patched = self.patched(name)?;
            return Ok(self.patched_folder().join(patched.key.to_string()));
        }
        if let Ok(supply) = name.parse::<Supply>() {
            let unknown = || KernelError::Unavailable(format!("there is no {name}: binderdrill kernel list"));
            return supply.folder(&self.folder).ok_or_else(unknown);
        }
        Ok(self.kernel(name)?.folder)
    }

    fn patched_folder(&self) -> PathBuf {
        self.folder.join("patched")
    }

    fn built_folder(&self) -> PathBuf {
        self.folder.join("built")
    }

    fn source_folder(&self) -> PathBuf {
        self.folder.join("sources")
    }

    fn place_of(&self, name: &StockName) -> Kernel {
        let name = name.to_string();
        Kernel { folder: self.folder.join(&name), name }
    }
}

impl Kernel {
    /// Its image.
    pub fn image(&self) -> PathBuf {
        self.folder.join(stock::IMAGE)
    }

    /// The folder of those of its modules that a guest may need.
    pub fn modules(&self) -> PathBuf {
        self.folder.join(stock::MODULES)
    }

    /// The release that its packages gave it, such as `6.12.117+deb12-amd64`.
    pub fn release(&self) -> String {
        fs::read_to_string(self.folder.join(stock::RELEASE)).unwrap_or_default().trim().to_owned()
    }

    /// When it was fetched.
    pub fn fetched(&self) -> Option<SystemTime> {
        fs::metadata(self.image()).and_then(|image| image.modified()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{BuiltFor, DriverKind};

    #[test]
    fn trees_that_are_called_alike_have_kernels_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store { folder: folder.path().join("kernels") };
        let order = |tree: &str| {
            let tree = folder.path().join(tree);
            fs::create_dir_all(&tree).unwrap();
            let choices = Choices { kind: BuiltFor::Uml, driver: DriverKind::C, with: [].into() };
            Order { source: SourceChoice::Tree(tree), choices, name: None }
        };
        let named = |tree: &str| store.named_apart(order(tree)).unwrap().name().unwrap().to_string();
        assert_eq!((named("one/linux"), named("two/linux")), ("linux-uml-c".into(), "linux-uml-c".into()));
        let built = store.built_folder().join("linux-uml-c");
        fs::create_dir_all(&built).unwrap();
        fs::write(built.join(BuiltFor::Uml.image()), "").unwrap();
        let source = store.source(&order("one/linux").source, &mut |_| {}).unwrap().name;
        let record = built::Record::new(String::new(), String::new(), source, order("one/linux").choices);
        record.write(&built).unwrap();
        assert_eq!(named("one/linux"), "linux-uml-c");
        let other = named("two/linux");
        assert!(other.starts_with("tree-") && other.ends_with("-uml-c"), "{other}");
        assert_eq!(named("two/linux"), other);
        assert!(named(".hidden").starts_with("tree-"));
    }
}
