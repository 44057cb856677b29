//! How a limit is lifted, in commands: at once, and so that it lasts. A command that needs root
//! says so; where a user may do it alone, it does not ask for root.
//!
//! Text only. Must not look whether a command would work.

use super::LimitReading;

/// What a limit is to be lifted to, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Lift<'a> {
    /// The value.
    pub to: u64,
    /// What was read of it: where it is, and how far a user may raise it. `None`: nothing is known.
    pub reading: Option<&'a LimitReading>,
}

impl<'a> Lift<'a> {
    /// To this value, with nothing known of where it is now.
    #[must_use]
    pub fn to(to: u64) -> Self {
        Self { to, reading: None }
    }

    /// Whether any user may raise it so far: setrlimit(2), the hard limit.
    fn is_within_hard(&self) -> bool {
        self.reading.is_some_and(|r| r.value.is_some() && r.hard.is_none_or(|hard| hard >= self.to))
    }

    /// The file of a control group that holds it, where the reading tells.
    fn cgroup_file(&self) -> Option<&'a str> {
        let source = self.reading?.source.as_str();
        let is_file = ["/pids.max", "/memory.max", "/memory.limit_in_bytes"]
            .iter()
            .any(|name| source.starts_with('/') && source.ends_with(name));
        is_file.then_some(source)
    }
}

/// A resource limit, as prlimit(1), the shell's `ulimit`, limits.conf(5) and systemd.exec(5) call it.
pub(super) struct Resource {
    pub(super) prlimit: &'static str,
    pub(super) ulimit: char,
    /// What one of `ulimit` and of limits.conf(5) is; prlimit(1) and systemd take single ones.
    pub(super) unit: u64,
    pub(super) conf: &'static str,
    pub(super) systemd: &'static str,
}

/// For what is started next from this shell.
pub(super) fn rlimit(resource: &Resource, lift: &Lift<'_>) -> String {
    let (to, unit) = (lift.to, lift.to.div_ceil(resource.unit));
    /// fs.nr_open, unless somebody changed it (fs/file.c, sysctl_nr_open).
    const NR_OPEN: u64 = 1 << 20;
    if resource.prlimit == "nofile" && to > NR_OPEN {
        let first = sysctl("fs.nr_open", &to.to_string());
        return format!("{first}, then `prlimit --pid $$ --nofile={to}:{to}` in the shell that starts it");
    }
    if lift.is_within_hard() {
        return format!("`ulimit -S{} {unit}` in the shell that starts it", resource.ulimit);
    }
    format!("as root: `prlimit --pid $$ --{}={to}:{to}` in the shell that starts it", resource.prlimit)
}

/// limits.conf(5): `*` does not hold for root. pam_limits(8) sets it at login.
pub(super) fn rlimit_lasting(resource: &Resource, lift: &Lift<'_>) -> String {
    let Resource { conf, systemd, .. } = resource;
    let (to, unit) = (lift.to, lift.to.div_ceil(resource.unit));
    format!(
        "as root: `printf '* - {conf} {unit}\\nroot - {conf} {unit}\\n' > /etc/security/limits.d/90-brink-{conf}.conf`, \
         then log in again; for a systemd service {systemd}={to} under [Service] (`systemctl edit UNIT`), then restart it"
    )
}

/// sysctl(8), until the next boot.
pub(super) fn sysctl(name: &str, value: &str) -> String {
    format!("as root: `sysctl -w {name}={}`", quoted(value))
}

/// sysctl.d(5), at each boot.
pub(super) fn sysctl_lasting(name: &str, value: &str) -> String {
    format!("as root: `echo '{name} = {value}' > /etc/sysctl.d/90-brink-{name}.conf && sysctl --system`")
}

/// A limit of control groups, as the kernel, systemd.resource-control(5) and docker-run(1) call it.
pub(super) struct Property {
    pub(super) file: &'static str,
    pub(super) systemd: &'static str,
    pub(super) docker: &'static str,
}

/// At once. The change is lost when the group is.
pub(super) fn cgroup(property: &Property, lift: &Lift<'_>) -> String {
    let to = lift.to;
    match lift.cgroup_file() {
        Some(path) => format!("as root: `echo {to} > {}`", quoted(path)),
        None if property.file == "memory.max" => format!(
            "as root: write {to} to memory.max (version 1: memory.limit_in_bytes) of that control group"
        ),
        None => format!("as root: write {to} to {} of that control group", property.file),
    }
}

/// By whoever made the group: systemd or a container's engine, as far as its name tells.
pub(super) fn cgroup_lasting(property: &Property, lift: &Lift<'_>) -> String {
    let (to, Property { systemd, docker, .. }) = (lift.to, property);
    let directory = lift.cgroup_file().and_then(|file| file.rsplit_once('/')).map_or("", |(path, _)| path);
    let mut parts = directory.rsplit('/');
    let unit = parts.next().unwrap_or_default();
    let above: Vec<&str> = parts.collect();
    if let Some(id) = container_id(unit, above.first().copied()) {
        return format!("as root: `docker update {docker} {to} {id}` (podman: `podman update`)");
    }
    let of_user = above.iter().any(|part| part.starts_with("user@"));
    match unit.rsplit_once('.').map(|(_, kind)| kind) {
        Some("service" | "slice") if of_user => {
            format!("as its user: `systemctl --user set-property {} {systemd}={to}`", quoted(unit))
        }
        Some("service" | "slice") => {
            format!("as root: `systemctl set-property {} {systemd}={to}`", quoted(unit))
        }
        Some("scope") => format!(
            "a scope ends with what runs in it: start that anew with `systemd-run --scope -p {systemd}={to} COMMAND`"
        ),
        _ => format!(
            "systemd: `systemctl set-property UNIT {systemd}={to}`; a container: `docker run {docker} {to}`"
        ),
    }
}

/// `docker-ID.scope` or `libpod-ID.scope` under systemd, else `/docker/ID`.
fn container_id<'a>(unit: &'a str, above: Option<&str>) -> Option<&'a str> {
    let inner = unit.strip_suffix(".scope").unwrap_or(unit);
    let id = inner
        .strip_prefix("docker-")
        .or_else(|| inner.strip_prefix("libpod-"))
        .or((above == Some("docker")).then_some(inner))?;
    (id.len() >= 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// A word for a shell, quoted where it has to be. Systemd's names hold backslashes.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@:=+,".contains(&byte);
    if word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{LIMITS, find};

    fn reading(name: &str, value: u64, hard: Option<u64>, source: &str) -> LimitReading {
        let (name, source) = (name.to_owned(), source.to_owned());
        LimitReading { name, value: Some(value), hard, used: None, source, note: None }
    }

    #[track_caller]
    fn check(name: &str, to: u64, reading: Option<&LimitReading>, live: &str, lasting: &str) {
        let row = find(name).unwrap();
        let lift = Lift { to, reading };
        let (got_live, got_lasting) = ((row.fix)(&lift), (row.lasting)(&lift));
        assert!(got_live.contains(live), "{got_live}");
        assert!(got_lasting.contains(lasting), "{got_lasting}");
    }

    #[test]
    fn root_is_asked_for_only_where_a_user_may_not() {
        let within = reading("rlimit.nproc", 50, Some(500), "x");
        check("rlimit.nproc", 400, Some(&within), "`ulimit -Su 400`", "root - nproc 400");
        check(
            "rlimit.nproc",
            501,
            Some(&within),
            "as root: `prlimit --pid $$ --nproc=501:501`",
            "LimitNPROC=501",
        );
        let unlimited = reading("rlimit.as", 50, None, "x");
        check("rlimit.as", 2049, Some(&unlimited), "`ulimit -Sv 3`", "* - as 3");
        check("rlimit.as", 2049, None, "--as=2049:2049", "LimitAS=2049");
    }

    #[test]
    fn a_control_group_is_named_where_it_is_known() {
        for (source, live, lasting) in [
            (
                "/sys/fs/cgroup/system.slice/x.service/pids.max",
                "echo 90 > /sys/fs/cgroup/system.slice/x.service/pids.max`",
                "systemctl set-property x.service TasksMax=90",
            ),
            (
                "/sys/fs/cgroup/user.slice/user-1000.slice/pids.max",
                "as root: `echo 90 >",
                "systemctl set-property user-1000.slice TasksMax=90",
            ),
            (
                r"/sys/fs/cgroup/user.slice/user@1000.service/app.slice/a\x2db.service/pids.max",
                r"'/sys/fs/cgroup/user.slice/user@1000.service/app.slice/a\x2db.service/pids.max'",
                r"as its user: `systemctl --user set-property 'a\x2db.service' TasksMax=90`",
            ),
            (
                "/sys/fs/cgroup/pids/docker/0123456789abcdef/pids.max",
                "echo 90",
                "docker update --pids-limit 90 0123456789abcdef`",
            ),
            (
                "/sys/fs/cgroup/system.slice/docker-0123456789abcdef.scope/pids.max",
                "echo 90",
                "docker update --pids-limit 90 0123456789abcdef`",
            ),
            (
                "/sys/fs/cgroup/user.slice/run-u7.scope/pids.max",
                "echo 90",
                "systemd-run --scope -p TasksMax=90",
            ),
            (
                "/sys/fs/cgroup/pids/mine/pids.max",
                "echo 90 > /sys/fs/cgroup/pids/mine/pids.max",
                "UNIT TasksMax=90",
            ),
            ("test", "write 90 to pids.max of that control group", "UNIT TasksMax=90"),
        ] {
            let reading = reading("cgroup.pids.max", 9, None, source);
            check("cgroup.pids.max", 90, Some(&reading), live, lasting);
        }
        let v1 = reading("cgroup.memory.max", 9, None, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes");
        check(
            "cgroup.memory.max",
            90,
            Some(&v1),
            "> /sys/fs/cgroup/memory/a/memory.limit_in_bytes`",
            "MemoryMax=90",
        );
    }

    #[test]
    fn sysctls_have_a_file_each() {
        check(
            "kernel.pid_max",
            9,
            None,
            "sysctl -w kernel.pid_max=9`",
            "/etc/sysctl.d/90-brink-kernel.pid_max.conf",
        );
        let ports = find("net.ipv4.ip_local_port_range").unwrap();
        assert!((ports.fix)(&Lift::to(30_000)).contains("ip_local_port_range='35436 65535'"));
        assert!((ports.lasting)(&Lift::to(30_000)).contains("'net.ipv4.ip_local_port_range = 35436 65535'"));
    }

    #[test]
    fn every_row_says_who_has_to_do_it() {
        for row in LIMITS.iter().filter(|row| row.group != crate::limits::Group::Target) {
            let words = (row.fix)(&Lift::to(1_000));
            assert!(
                words.starts_with("as root: `")
                    || words.starts_with("as root: write")
                    || row.name == "memory.available",
                "{words}"
            );
            assert_eq!(words.matches('`').count() % 2, 0, "{words}");
        }
    }
}
