//! Stands in for the C compilers of other systems.
//!
//! `cargo check` runs build scripts, and one of them compiles C (`ring`, the cryptography under TLS).
//! A check for another system then needs that system's C compiler, although nothing is linked. For a
//! check this program takes the compiler's place: it leaves an empty file where the result should be.

use std::{env, fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};

/// Tells this program that it is called as a compiler.
const CALLED_AS_COMPILER: &str = "BEACONRY_XTASK_IS_COMPILER";

/// Lets a check for `target` need no C compiler and no archiver of that system. The build scripts run
/// again, with the real ones, as soon as these variables are gone.
pub(crate) fn stand_in(cargo: &mut std::process::Command, target: &str) -> Result<()> {
    let this = env::current_exe().context("cannot tell where this program is")?;
    let suffix = target.replace('-', "_");
    cargo.env(CALLED_AS_COMPILER, "1");
    for tool in ["CC", "AR"] {
        cargo.env(format!("{tool}_{suffix}"), &this);
    }
    Ok(())
}

/// If this program is called as a compiler or an archiver: does what one must do for a check.
pub(crate) fn act(args: &[String]) -> Option<Result<ExitCode>> {
    env::var_os(CALLED_AS_COMPILER)?;
    Some(leave_result(args).map(|()| ExitCode::SUCCESS))
}

fn leave_result(args: &[String]) -> Result<()> {
    let Some(file) = result(args) else {
        return Ok(());
    };
    fs::write(file, []).with_context(|| format!("cannot write {file}"))
}

/// The file that a compiler or an archiver is told to write. The call may be of GCC's, of clang's or
/// of Visual C++'s form.
fn result(args: &[String]) -> Option<&str> {
    let after = |flag: &str| {
        let at = args.iter().position(|it| it == flag)?;
        args.get(at + 1).map(String::as_str)
    };
    let joined = |prefixes: &[&str]| {
        let mut found = args.iter();
        found.find_map(|it| prefixes.iter().find_map(|prefix| it.strip_prefix(prefix)))
    };
    let is_archive = |it: &&String| {
        let extension = Path::new(it).extension();
        extension.is_some_and(|it| it == "a" || it == "lib")
    };
    after("-o")
        .or_else(|| joined(&["-Fo", "/Fo", "-out:", "/OUT:", "/out:"]))
        .or_else(|| args.iter().find(is_archive).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(call: &str) -> Option<String> {
        let args: Vec<String> = call.split(' ').map(str::to_owned).collect();
        result(&args).map(str::to_owned)
    }

    #[test]
    fn the_result_is_found_in_each_compiler_s_form() {
        for (call, file) in [
            ("-O3 -c -o out/a.o a.c", "out/a.o"),
            ("-nologo -Foout/a.obj -c a.c", "out/a.obj"),
            ("-out:out/libring.a -nologo out/a.o", "out/libring.a"),
            ("cq out/libring.a out/a.o out/b.o", "out/libring.a"),
        ] {
            assert_eq!(of(call).as_deref(), Some(file), "{call}");
        }
        assert_eq!(of("-E detect.c"), None);
    }
}
