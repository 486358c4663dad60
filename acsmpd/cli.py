"""The command line: thin. Exit codes: 0 fine, 1 failed, 2 wrong usage or settings."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from acsmpd import faults, logs, offline
from acsmpd.clock import Clock
from acsmpd.licensing.manifest import folder_of, granted
from acsmpd.settings import Settings, SettingsFault, find_config, load
from acsmpd.version import VERSION

ROLES = ("system_admin", "security_admin", "audit_admin", "operator", "viewer", "packages", "federation")


class Failing(click.Group):
    """A group whose commands end in a sentence and exit code 1 on a fault, 2 on wrong settings.

    `--config FILE` may stand before the command or after it.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _config_first(args))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsFault as fault:
            click.echo(
                "\n".join(["cannot use the settings:", *(f"  {one}" for one in fault.faults)]), err=True
            )
            sys.exit(2)
        except faults.Fault as fault:
            click.echo(f"acsmpd: {fault.message}", err=True)
            sys.exit(1)


@click.group(cls=Failing, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="acsmpd")
@click.option("--config", "config", type=click.Path(), default=None, help="Settings file (TOML).")
@click.pass_context
def cli(ctx: click.Context, config: str | None) -> None:
    """acsmpd: the algorithm and computility service management platform of T/BAX 0006.5."""
    ctx.obj = config


def _config_first(args: list[str]) -> list[str]:
    """The same words with --config FILE in front."""
    for place, word in enumerate(args):
        if word == "--":
            break
        if word == "--config" and place + 1 < len(args):
            return [word, args[place + 1], *args[:place], *args[place + 2 :]]
        if word.startswith("--config="):
            return [word, *args[:place], *args[place + 1 :]]
    return args


def settings_of(ctx: click.Context) -> Settings:
    return load(find_config(ctx.obj), os.environ)


@cli.command()
@click.option("--admin-password-file", type=click.Path(exists=True, dir_okay=False), default=None)
@click.option("--admin", default="admin", show_default=True, help="Name of the first administrator.")
@click.pass_context
def init(ctx: click.Context, admin_password_file: str | None, admin: str) -> None:
    """Make the data directory, its keys and the first administrator."""
    settings = settings_of(ctx)
    password = read_password(admin_password_file) if admin_password_file else None
    path = offline.init(settings, Clock(), admin, password)
    click.echo(f"data directory: {settings.data.path.absolute()}")
    if path is not None:
        click.echo(
            f"administrator {admin}: the first password is in {path}; it is changed at the first login"
        )


@cli.command()
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Run the daemon in the foreground until SIGTERM or SIGINT."""
    gc.disable()  # all that is imported stays: looking through it again and again is a tenth of the start
    from acsmpd.app import App
    from acsmpd.notify import Notifier

    gc.freeze()
    gc.enable()
    os.umask(0o077)  # whatever the daemon writes is nobody else's
    settings, clock = settings_of(ctx), Clock()
    handler = logs.configure(settings.log.format, settings.log.level, clock, zone=settings.site.zone)
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    offline.init(settings, clock, "admin", None)
    app = App(settings, clock, Notifier(os.environ)).start()
    try:
        while not asked.wait(1):  # a signal that another thread catches does not wake this one
            handler.summarise()
    finally:
        app.stop()
        handler.close()


@cli.command("check-config")
@click.pass_context
def check_config(ctx: click.Context) -> None:
    """Judge the settings; every fault is told at once."""
    settings_of(ctx)
    click.echo(f"{find_config(ctx.obj) or 'built-in defaults'}: fine")


@cli.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Look at what a site engineer would look at; exit 1 when something is not well."""
    settings = settings_of(ctx)
    bad = 0
    for name, fine, text in offline.examine(settings, Clock()):
        bad += not fine
        click.echo(f"{'ok  ' if fine else 'FAIL'} {name}: {text}")
    sys.exit(1 if bad else 0)


# --- accounts -----------------------------------------------------------------------------------------


@cli.group()
def key() -> None:
    """API keys."""


@key.command("create")
@click.option("--name", required=True)
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(ROLES))
@click.pass_context
def key_create(ctx: click.Context, name: str, roles: tuple[str, ...]) -> None:
    """Create an API key and print it alone, once."""
    click.echo(offline.create_key(settings_of(ctx), Clock(), name, list(roles)))


@key.command("list")
@click.pass_context
def key_list(ctx: click.Context) -> None:
    """Names and roles of the API keys."""
    for name, roles in offline.list_keys(settings_of(ctx)):
        click.echo(f"{name}\t{','.join(roles)}")


# --- devices --------------------------------------------------------------------------------------------


@cli.group()
def device() -> None:
    """Computilities an operator enters or resets."""


@device.command("add")
@click.argument("code")
@click.option("--username", default="")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False), default=None)
@click.option("--url", default="", help="http://HOST:PORT; needed for --family ccp.")
@click.option("--type", "kind", default="", help="Of table B.1; without it that of its family, else CAD.")
@click.option("--family", default=None, type=click.Choice(["cad", "cap", "ccp", "edge", "direct", "none"]))
@click.option("--prefix", default="")
@click.option("--pin", default=None, help="SHA-256 of its certificate.")
@click.option("--cluster", default="", help="ClusterCode of a computing platform (ccp).")
@click.option(
    "--node", "nodes", multiple=True, help="A node of it that is to be watched; may be given again."
)
@click.option("--namespace", default="default", show_default=True, help="Where its services go (ccp).")
@click.pass_context
def device_add(ctx: click.Context, /, code: str, password_file: str | None, **values: Any) -> None:
    """Preset a computility, with the daemon running or not."""
    password = read_password(password_file) if password_file else ""
    offline.add_device(settings_of(ctx), Clock(), code, password=password, **values)
    click.echo(f"computility {code} is preset")


@device.command("reset")
@click.argument("code")
@click.pass_context
def device_reset(ctx: click.Context, code: str) -> None:
    """Forget user, password and tokens of a computility, so that it can enrol anew."""
    offline.reset_device(settings_of(ctx), Clock(), code)
    click.echo(f"computility {code} may enrol anew")


# --- packages -----------------------------------------------------------------------------------------------


@cli.group()
def package() -> None:
    """Algorithm package files."""


@package.command("pack")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--out", type=click.Path(), default=None)
def package_pack(folder: str, out: str | None) -> None:
    """Make a package file of a folder with an algo.yaml; prints its path."""
    from acsmpd.packages.pack import pack

    click.echo(pack(Path(folder), Path(out) if out else None))


@package.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def package_check(file: str) -> None:
    """Judge a package file by every rule of an import."""
    from acsmpd.packages.pack import check

    judged = check(Path(file))
    manifest = judged.manifest
    click.echo(
        f"{manifest.name} {manifest.version} of {manifest.provider}: {len(judged.members)} members, fine"
    )
    for ability in manifest.abilities:
        click.echo(f"  {ability.code}  {ability.name}  {','.join(ability.event_ids)}")


# --- licences -----------------------------------------------------------------------------------------------


@cli.group("license")
def licence() -> None:
    """Licence files of providers."""


@licence.command("import")
@click.argument("path", metavar="FILE|FOLDER", type=click.Path())
@click.option("--provider", default="", help="Who issued the licence; required for a file.")
@click.option(
    "--device", default="", help="The computility it is bound to, 20 digits; without it, it is shared."
)
@click.option("--ability", "abilities", multiple=True, metavar="CODE=N", help="N streams for a capability.")
@click.option("--expire", default="", metavar="TIME", help='"YYYY-MM-DD hh:mm:ss", when it ends.')
@click.option("--dry-run", is_flag=True, help="Judge everything, write nothing.")
@click.pass_context
def licence_import(ctx: click.Context, /, path: str, dry_run: bool, **words: Any) -> None:
    """Import a licence file, or all that the manifest.csv of a folder names, with the daemon running or not.

    A line of manifest.csv is file,provider,device,CODE=N,CODE=N,... What is there already is not imported twice.
    """
    settings, place = settings_of(ctx), Path(path)
    if not place.is_dir():
        outcome = offline.import_licence(settings, Clock(), place, _fields(**words), dry_run=dry_run)
        if outcome.state == offline.FAILED:
            click.echo(printable(f"failed: {path}: {outcome.words}"), err=True)
            sys.exit(1)
        click.echo(printable(f"{outcome.state}: {path}{outcome.words and ' as ' + outcome.words}"))
        return
    if any(words.values()):
        raise click.UsageError(
            "--provider, --device, --ability and --expire go with one file; a folder has a manifest"
        )
    try:
        folder = folder_of(place)
    except faults.InvalidField as fault:
        raise click.UsageError(fault.message) from fault
    _show(offline.import_licences(settings, Clock(), folder, dry_run=dry_run), dry_run)


def _fields(provider: str, device: str, abilities: tuple[str, ...], expire: str) -> dict[str, Any]:
    given: dict[str, Any] = {"Provider": provider, "DeviceID": device, "ExpireTime": expire}
    if abilities:
        given["AbilityAuths"] = [granted(one) for one in abilities]
    return given


def _show(outcomes: Iterable[offline.Outcome], dry_run: bool) -> None:
    """The table of scripts/import-licenses.sh; exit code 1 when one failed."""
    count: Counter[str] = Counter()
    for one in outcomes:
        count[one.state] += 1
        click.echo(printable(f"{one.state:<18} {one.number:4d}  {one.file}  {one.words}"))
    shown = [offline.IMPORTED, offline.KNOWN, offline.FAILED, *([offline.WOULD] if dry_run else [])]
    click.echo("\n" + ", ".join(f"{count[state]} {state}" for state in shown))
    if count[offline.FAILED]:
        sys.exit(1)


@licence.command("sign")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.pass_context
def licence_sign(ctx: click.Context, file: str) -> None:
    """Sign a device fingerprint, as scripts/collect-fingerprint.sh makes it, with the SM2 key of this box."""
    offline.sign_fingerprint(settings_of(ctx), Path(file))
    click.echo(printable(f"signed: {file}"))


@licence.command("list")
@click.pass_context
def licence_list(ctx: click.Context) -> None:
    """Number, provider, device, abilities, end and SM3 of the licence files."""
    for values in offline.list_licences(settings_of(ctx), Clock()):
        click.echo("\t".join(map(printable, values)))


def printable(text: str) -> str:
    """A line whose signs, be they from a stick, do nothing to a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


# --- the interface ---------------------------------------------------------------------------------------------


@cli.command("openapi")
@click.option("--missing", is_flag=True, help="Rows that are planned and not served yet.")
def openapi_command(missing: bool) -> None:
    """Print the interface as OpenAPI 3.1."""
    from acsmpd.api import openapi

    if missing:
        for row in openapi.missing():
            click.echo(f"{row.method:7}{row.uri}")
    else:
        click.echo(openapi.document().decode())


@cli.command()
@click.argument("action", type=click.Choice(["leave", "join"]))
@click.argument("code")
@click.pass_context
def upstream(ctx: click.Context, action: str, code: str) -> None:
    """Leave a platform above (UnRegister), or join it again. CODE is the one it knows us by."""
    offline.wish_upstream(settings_of(ctx), Clock(), code, join=action == "join")
    click.echo(f"upstream {code}: the daemon will {action}")


def read_password(path: str) -> str:
    """The password in a file; a trailing newline is dropped."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise faults.Internal(f"cannot read the password file {path}: {error}") from error
    return text.removesuffix("\n").removesuffix("\r")


def main() -> None:
    """The entry point of the command `acsmpd`."""
    cli(prog_name="acsmpd")
