"""`tokensvc openapi`: the contract of the HTTP interface."""

import click

from tokensvc.cli.printer import json_option, print_json
from tokensvc.ops.contract import contract, contract_bytes


@click.command("openapi")
@json_option
def openapi(*, as_json: bool) -> None:
    """Print the OpenAPI document of this release, as YAML."""
    if as_json:
        print_json(contract())
    else:
        click.echo(contract_bytes(), nl=False)
