//! Wine, which runs the Windows unit tests on Linux.

use anyhow::{Context as _, ensure};
use xshell::{PushEnv, Shell, cmd};

use crate::workspace::target_dir;

/// The source of the only function of `bcryptprimitives.dll` that Rust's standard library imports, based on an older
/// generator of Windows.
const PROCESS_PRNG: &str = r"
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG size); /* RtlGenRandom */
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T size)
{
    return size <= MAXDWORD && SystemFunction036(buffer, size);
}
";

/// Prepares a Wine below target, which is usable while the returned environment exists.
pub(super) fn start(sh: &Shell) -> anyhow::Result<[PushEnv<'_>; 4]> {
    let prefix = target_dir().join("wine");
    sh.create_dir(&prefix)?;
    let env = [
        sh.push_env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "wine"),
        sh.push_env("WINEPREFIX", &prefix),
        sh.push_env("WINEDEBUG", "-all"),
        // Without these, a new prefix opens a dialog that offers to install Mono and Gecko, and waits forever.
        sh.push_env("WINEDLLOVERRIDES", "mscoree,mshtml="),
    ];
    cmd!(sh, "timeout 300 wine wineboot --init").run().with_context(|| {
        format!(
            "Wine cannot run: is Debian's package wine installed, and {} yours and writable? \
             `WINEPREFIX={0} wine wineboot --init` says more",
            prefix.display()
        )
    })?;
    let system = prefix.join("drive_c/windows/system32");
    ensure!(
        system.is_dir(),
        "Wine did not create {}; delete {} and try again",
        system.display(),
        prefix.display()
    );

    // Wine 8.0 of Debian 12 lacks this library, without which no Rust program starts; later versions have it.
    let library = system.join("bcryptprimitives.dll");
    if !library.exists() {
        cmd!(sh, "x86_64-w64-mingw32-gcc -Wall -Werror -O1 -shared -o {library} -x c - -ladvapi32")
            .stdin(PROCESS_PRNG)
            .run()?;
    }
    Ok(env)
}
