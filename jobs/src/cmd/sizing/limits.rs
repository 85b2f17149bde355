//! Real limits for a child process: control groups of the kernel, of version 2 or 1, else a scope of systemd.
//!
//! A way that does not hold both limits is not used: a run that is not limited measures nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use windrow_core::{Error, Result};

use super::worker::Worker;

/// The period a CPU quota is a part of, as container runtimes set it.
const PERIOD_MICROSECONDS: u64 = 100_000;

/// The exit code of the shell that could not enter its group.
pub(super) const NOT_CAGED: i32 = 97;

/// Enters the groups that are named, then becomes the program.
const ENTER: &str =
    "n=$1; shift; while [ $n -gt 0 ]; do echo $$ > \"$1/cgroup.procs\" || exit 97; shift; n=$((n-1)); done; exec \"$@\"";

/// How limits are set on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Limits {
    /// Groups of version 2 below this one.
    V2(PathBuf),
    /// Groups of version 1 below these, one for each hierarchy.
    V1 {
        /// Of the controller `cpu`.
        cpu: PathBuf,
        /// Of the controller `memory`.
        memory: PathBuf,
        /// Of the controller `cpuacct`, where it can be written.
        accounting: Option<PathBuf>,
    },
    /// A scope of systemd: the user's, or the system's for root.
    Systemd {
        /// `--user` or `--system`.
        manager: &'static str,
    },
}

/// Where this process learns of control groups.
pub(super) struct Place<'a> {
    /// The text of `/proc/self/cgroup`.
    pub(super) own: &'a str,
    /// The text of `/proc/self/mountinfo`.
    pub(super) mounts: &'a str,
    /// The program that makes scopes.
    pub(super) systemd_run: &'a str,
}

impl Limits {
    /// The first way that holds a trial's limits.
    ///
    /// # Errors
    /// `Misconfigured`, with what was tried and what to do, when there is none.
    pub(super) fn find() -> Result<Limits> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (own, mounts) = (read("/proc/self/cgroup"), read("/proc/self/mountinfo"));
        Limits::find_in(&Place { own: &own, mounts: &mounts, systemd_run: "systemd-run" })
    }

    /// [`Limits::find`] of a described machine.
    pub(super) fn find_in(place: &Place<'_>) -> Result<Limits> {
        let ways: [(&str, Way); 3] = [("cgroup v2", v2), ("cgroup v1", v1), ("systemd-run", systemd)];
        let mut tried = Vec::new();
        for (name, way) in ways {
            match way(place) {
                Ok(limits) => return Ok(limits),
                Err(why) => tried.push(format!("{name}: {why}")),
            }
        }
        let message = format!("a worker's CPU and memory cannot be limited here: {}", tried.join("; "));
        Err(Error::misconfigured(message).help(
            "run it as root where /sys/fs/cgroup can be written (in a container: --privileged), or in a systemd session of a user to whom the controllers cpu and memory are delegated",
        ))
    }

    /// The name for results.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Limits::V2(_) => "cgroup v2",
            Limits::V1 { .. } => "cgroup v1",
            Limits::Systemd { .. } => "systemd scope",
        }
    }

    /// The memory a child can have: what is free, and no more than the groups above it may take.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let (parent, file) = match self {
            Limits::V2(parent) => (parent.as_path(), "memory.max"),
            Limits::V1 { memory, .. } => (memory.as_path(), "memory.limit_in_bytes"),
            Limits::Systemd { .. } => (Path::new(""), ""),
        };
        let above = parent.ancestors().filter_map(|group| number(&group.join(file)));
        above.chain(machine_free_bytes()).min()
    }

    /// Makes the groups of one child.
    ///
    /// # Errors
    /// `Misconfigured` when the system refuses a limit.
    pub(super) fn cage(&self, worker: Worker) -> Result<Cage> {
        self.try_cage(worker).map_err(|why| {
            Error::misconfigured(format!("worker {worker} cannot be limited by {}: {why}", self.name()))
                .help("ask for a smaller worker, or for none larger than what this process itself may use")
        })
    }

    fn try_cage(&self, worker: Worker) -> std::result::Result<Cage, String> {
        let quota = u64::from(worker.milli_vcpus) * PERIOD_MICROSECONDS / 1_000;
        let memory = worker.bytes().to_string();
        match self {
            Limits::V2(parent) => {
                let cage = Cage::new(vec![new_group(parent)?], self, worker);
                let group = cage.group(0);
                put(&group.join("cpu.max"), &format!("{quota} {PERIOD_MICROSECONDS}"))?;
                put(&group.join("memory.max"), &memory)?;
                no_swap(&group.join("memory.swap.max"), "0")?;
                Ok(cage)
            }
            Limits::V1 { cpu, memory: memory_parent, accounting } => {
                let mut cage = Cage::new(vec![new_group(memory_parent)?], self, worker);
                let group = cage.group(0);
                put(&group.join("memory.limit_in_bytes"), &memory)?;
                no_swap(&group.join("memory.memsw.limit_in_bytes"), &memory)?;
                cage.groups.push(new_group(cpu)?);
                put(&cage.group(1).join("cpu.cfs_period_us"), &PERIOD_MICROSECONDS.to_string())?;
                put(&cage.group(1).join("cpu.cfs_quota_us"), &quota.to_string())?;
                cage.groups.extend(accounting.as_deref().map(new_group).transpose()?);
                Ok(cage)
            }
            Limits::Systemd { .. } => Ok(Cage::new(Vec::new(), self, worker)),
        }
    }
}

/// Tries one way.
type Way = fn(&Place<'_>) -> std::result::Result<Limits, String>;

/// The groups of one child; they go with it.
#[derive(Debug)]
pub(super) struct Cage {
    limits: Limits,
    worker: Worker,
    groups: Vec<PathBuf>,
}

impl Cage {
    fn new(groups: Vec<PathBuf>, limits: &Limits, worker: Worker) -> Self {
        Cage { limits: limits.clone(), worker, groups }
    }

    fn group(&self, index: usize) -> PathBuf {
        self.groups.get(index).cloned().unwrap_or_default()
    }

    /// A command that runs `program` inside.
    pub(super) fn command(&self, program: &Path) -> Command {
        if let Limits::Systemd { manager } = self.limits {
            let mut command = Command::new("systemd-run");
            command.args(scope(manager, self.worker)).arg(program);
            return command;
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ENTER, "windrow-sizing"]).arg(self.groups.len().to_string()).args(&self.groups).arg(program);
        command
    }

    /// CPU time of everything that ran inside, where the kernel counts it.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        match &self.limits {
            Limits::V2(_) => field(&self.group(0).join("cpu.stat"), "usage_usec").map(Duration::from_micros),
            Limits::V1 { cpu, accounting, .. } => {
                let group = if accounting.is_some() { self.group(2) } else { self.group(1) };
                debug_assert!(group.starts_with(accounting.as_ref().unwrap_or(cpu)));
                number(&group.join("cpuacct.usage")).map(Duration::from_nanos)
            }
            Limits::Systemd { .. } => None,
        }
    }

    /// The most memory the group was charged with, pages of files among it, which the kernel takes back when it needs them.
    pub(super) fn charged_peak_bytes(&self) -> Option<u64> {
        match &self.limits {
            Limits::V2(_) => number(&self.group(0).join("memory.peak")),
            Limits::V1 { .. } => number(&self.group(0).join("memory.max_usage_in_bytes")),
            Limits::Systemd { .. } => None,
        }
    }

    /// How many processes inside the kernel killed for their memory, where it counts them.
    pub(super) fn kernel_kills(&self) -> Option<u64> {
        match &self.limits {
            Limits::V2(_) => field(&self.group(0).join("memory.events"), "oom_kill"),
            Limits::V1 { .. } => field(&self.group(0).join("memory.oom_control"), "oom_kill"),
            Limits::Systemd { .. } => None,
        }
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        for group in &self.groups {
            // A group is busy for a moment after its last process has ended.
            for _ in 0..100 {
                if fs::remove_dir(group).is_ok() || !group.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// What a trial's limits are.
const TRIAL: Worker = Worker { milli_vcpus: 500, mebibytes: 64 };

fn v2(place: &Place<'_>) -> std::result::Result<Limits, String> {
    let mount = mount(place.mounts, "cgroup2", None).ok_or("not mounted")?;
    let controllers = fs::read_to_string(mount.point.join("cgroup.controllers")).unwrap_or_default();
    if !has_both(&controllers) {
        return Err(format!("{} has no controllers cpu and memory", mount.point.display()));
    }
    let own = place.own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let mut why = String::new();
    // A group that holds processes hands no controllers down; the nearest one above that does is used.
    for parent in mount.group(own).ancestors().take_while(|parent| parent.starts_with(&mount.point)) {
        let control = parent.join("cgroup.subtree_control");
        if !has_both(&fs::read_to_string(&control).unwrap_or_default())
            && let Err(error) = put(&control, "+cpu +memory")
        {
            why = error;
            continue;
        }
        match trial(Limits::V2(parent.to_owned())) {
            Ok(limits) => return Ok(limits),
            Err(error) => why = error,
        }
    }
    Err(why)
}

fn has_both(controllers: &str) -> bool {
    ["cpu", "memory"].iter().all(|wanted| controllers.split_whitespace().any(|name| name == *wanted))
}

fn v1(place: &Place<'_>) -> std::result::Result<Limits, String> {
    let hierarchy = |controller: &str| {
        let mount = mount(place.mounts, "cgroup", Some(controller)).ok_or_else(|| format!("{controller} is not mounted"))?;
        let is_own = |line: &&str| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == controller));
        let own = place.own.lines().find(is_own).and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or("/");
        Ok::<_, String>(mount.group(own))
    };
    let (cpu, memory) = (hierarchy("cpu")?, hierarchy("memory")?);
    // Mounted together with cpu, or apart from it.
    let accounting = hierarchy("cpuacct").ok().filter(|accounting| *accounting != cpu);
    trial(Limits::V1 { cpu, memory, accounting })
}

fn systemd(place: &Place<'_>) -> std::result::Result<Limits, String> {
    // What the scope itself says of its limits: a manager without the controllers sets none and does not complain.
    let ask = "cd /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup) && cat cpu.max memory.max";
    let mut why = String::new();
    for manager in ["--user", "--system"] {
        let mut command = Command::new(place.systemd_run);
        command.args(scope(manager, TRIAL)).args(["/bin/sh", "-c", ask]).stdin(Stdio::null());
        match command.output() {
            Err(error) => return Err(format!("{} cannot be started: {error}", place.systemd_run)),
            Ok(output) if !output.status.success() => {
                let told = String::from_utf8_lossy(&output.stderr);
                why = told.lines().next().unwrap_or("failed without a word").trim().to_owned();
            }
            Ok(output) => {
                let expected = format!("{} {PERIOD_MICROSECONDS}\n{}\n", PERIOD_MICROSECONDS / 2, TRIAL.bytes());
                if output.stdout == expected.as_bytes() {
                    return Ok(Limits::Systemd { manager });
                }
                why = format!("a scope of {manager} does not hold the limits; delegate cpu and memory to it");
            }
        }
    }
    Err(why)
}

/// The arguments of systemd-run for a limited scope.
fn scope(manager: &str, worker: Worker) -> Vec<String> {
    let percent = f64::from(worker.milli_vcpus) / 10.0;
    vec![
        manager.to_owned(),
        "--scope".to_owned(),
        "--quiet".to_owned(),
        format!("--property=CPUQuota={percent}%"),
        format!("--property=CPUQuotaPeriodSec={}ms", PERIOD_MICROSECONDS / 1_000),
        format!("--property=MemoryMax={}", worker.bytes()),
        "--property=MemorySwapMax=0".to_owned(),
        "--".to_owned(),
    ]
}

/// Proves that a group can be made, limited, entered and removed.
fn trial(limits: Limits) -> std::result::Result<Limits, String> {
    let cage = limits.try_cage(TRIAL)?;
    let output = cage.command(Path::new("/bin/cat")).arg("/proc/self/cgroup").stdin(Stdio::null()).output();
    let told = output.map_err(|error| format!("/bin/sh cannot be started: {error}"))?.stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    for group in &cage.groups {
        let name = group.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !told.lines().any(|line| line.ends_with(name)) {
            return Err(format!("{} cannot be entered", group.display()));
        }
    }
    drop(cage);
    Ok(limits)
}

/// A mounted hierarchy.
struct Mount {
    /// Which group stands at the mount point.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// The folder of a group, or the mount point when the group is not below it.
    fn group(&self, path: &str) -> PathBuf {
        let below = Path::new(path).strip_prefix(&self.root).unwrap_or(Path::new(""));
        let group = self.point.join(below);
        if group.is_dir() { group } else { self.point.clone() }
    }
}

/// The mount of a kind; of version 1 the one that has the controller. See proc_pid_mountinfo(5).
fn mount(mounts: &str, kind: &str, controller: Option<&str>) -> Option<Mount> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (found, options) = (right.next()?, right.nth(1)?);
        let has = controller.is_none_or(|controller| options.split(',').any(|option| option == controller));
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        (found == kind && has).then(|| Mount { root: root.into(), point: point.into() })
    })
}

/// Numbers the groups of this process.
static NEXT: AtomicU32 = AtomicU32::new(1);

fn new_group(parent: &Path) -> std::result::Result<PathBuf, String> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let group = parent.join(format!("windrow-sizing-{}-{number}", std::process::id()));
    fs::create_dir(&group).map_err(|error| format!("{} cannot be made: {error}", group.display()))?;
    Ok(group)
}

fn put(file: &Path, text: &str) -> std::result::Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{text} cannot be written to {}: {error}", file.display()))
}

/// Keeps memory from being swapped out; a kernel that does not count swap has no such file.
fn no_swap(file: &Path, text: &str) -> std::result::Result<(), String> {
    if file.exists() { put(file, text) } else { Ok(()) }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// How many processes wanted a core in the last minute.
pub(super) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The memory of this machine that is free, as the kernel estimates it.
fn machine_free_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLIT: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hierarchy_is_found_by_its_controller() {
        let found = |kind, controller| mount(SPLIT, kind, controller).map(|mount| mount.point.display().to_string());
        assert_eq!(found("cgroup", Some("cpuacct")).as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(found("cgroup2", None).as_deref(), Some("/sys/fs/cgroup/unified"));
        assert_eq!(found("cgroup", Some("cpuset")), None);
    }

    #[test]
    fn a_group_is_seen_from_its_mounts_root() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        let mount = Mount { root: "/docker/abc".into(), point: folder.path().to_owned() };
        assert_eq!(mount.group("/docker/abc/below"), folder.path().join("below"));
        for elsewhere in ["/docker/abc", "/", "/docker/abc/gone"] {
            assert_eq!(mount.group(elsewhere), folder.path(), "{elsewhere}");
        }
    }

    #[test]
    fn a_machine_without_any_way_is_refused_with_what_was_tried_and_what_to_do() {
        let place = Place { own: "0::/\n", mounts: "", systemd_run: "/nowhere/systemd-run" };
        let error = Limits::find_in(&place).unwrap_err();
        assert_eq!(error.kind(), windrow_core::ErrorKind::Misconfigured);
        for word in
            ["cgroup v2: not mounted", "cgroup v1: cpu is not mounted", "systemd-run: /nowhere/systemd-run cannot be started"]
        {
            assert!(error.message().contains(word), "{error}");
        }
        assert!(error.help_text().unwrap().contains("--privileged"));
    }

    /// A folder is no control group: what is written there limits nothing and cannot be entered.
    #[test]
    fn hierarchies_that_cannot_be_entered_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "cpu memory").unwrap();
        fs::write(folder.path().join("cgroup.subtree_control"), "cpu memory").unwrap();
        let mounts = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", folder.path().display());
        let place = Place { own: "0::/\n", mounts: &mounts, systemd_run: "/bin/false" };
        let error = Limits::find_in(&place).unwrap_err();
        assert!(error.message().contains("cgroup v2: ") && !error.message().contains("v2: not mounted"), "{error}");
        assert!(error.message().contains("systemd-run: failed without a word"), "{error}");
    }

    /// `true` prints nothing, as a manager that limits nothing would not print the limits.
    #[test]
    fn a_scope_that_does_not_hold_the_limits_is_not_used() {
        let place = Place { own: "", mounts: "", systemd_run: "/bin/true" };
        let error = Limits::find_in(&place).unwrap_err();
        assert!(error.message().contains("does not hold the limits"), "{error}");
    }

    #[test]
    fn a_scope_is_asked_for_with_both_limits() {
        let arguments = scope("--user", "0.5x1".parse().unwrap()).join(" ");
        assert_eq!(
            arguments,
            "--user --scope --quiet --property=CPUQuota=50% --property=CPUQuotaPeriodSec=100ms --property=MemoryMax=1073741824 --property=MemorySwapMax=0 --"
        );
    }

    #[test]
    fn this_machine_holds_limits_and_keeps_no_group() {
        let limits = Limits::find().expect("the tests of sizing need control groups that can be written: run them as root");
        let cage = limits.cage("0.5x0.25".parse().unwrap()).unwrap();
        let groups = cage.groups.clone();
        let status = cage.command(Path::new("/bin/true")).status().unwrap();
        assert!(status.success());
        drop(cage);
        assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
    }
}
