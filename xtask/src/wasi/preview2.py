"""Runs a component for WASI's second preview, with the host's network: preview2.py COMPONENT [ARGS]

The wheel's C API can give a program the network, its Python classes can't yet.
"""

import os
import sys

from wasmtime import Config, Engine, ExitTrap, Store, WasiConfig, _bindings
from wasmtime.component import Component, Linker


def load(engine, path):
    """Compiling takes longer than most tests: keep the machine code beside the component."""
    compiled = path + ".compiled"
    try:
        if os.path.getmtime(compiled) > os.path.getmtime(path):
            return Component.deserialize_file(engine, compiled)
    except OSError:
        pass
    component = Component.from_file(engine, path)
    partial = "%s.%d" % (compiled, os.getpid())
    with open(partial, "wb") as file:
        file.write(component.serialize())
    os.replace(partial, compiled)
    return component


def main():
    config = Config()
    config.wasm_component_model = True
    engine = Engine(config)

    wasi = WasiConfig()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    wasi.inherit_env()
    wasi.argv = sys.argv[1:]
    _bindings.wasi_config_inherit_network(wasi.ptr())
    store = Store(engine)
    store.set_wasi(wasi)

    component = load(engine, sys.argv[1])
    linker = Linker(engine)
    linker.add_wasip2()
    instance = linker.instantiate(store, component)
    for version in range(20):
        interface = instance.get_export_index(store, "wasi:cli/run@0.2.%d" % version)
        if interface:
            break
    else:
        sys.exit("%s is no command" % sys.argv[1])
    run = instance.get_func(store, instance.get_export_index(store, "run", interface))
    try:
        result = run(store)
        sys.exit(0 if result is None or result.tag == "ok" else 1)
    except ExitTrap as exit:
        sys.exit(exit.code)


main()
