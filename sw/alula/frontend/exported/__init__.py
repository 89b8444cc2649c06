"""Any Llama-like torch module, recognised by what its exported graph does.

The graph gives the skeleton: embedding, residual stream, branches, linear maps. Inside a branch the
code may be written in many ways, so its parts are run on made-up inputs and compared with what an
`Architecture` can say. Names of classes, submodules and parameters play no role.
"""

from alula.frontend.exported.model import load_module

__all__ = ["load_module"]
