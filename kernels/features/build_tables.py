"""Make elements.npz from matminer's Magpie tables and pymatgen's Element: python kernels/features/build_tables.py

Needed again only when those tables change; nothing at run time imports matminer. Magpie's tables: Ward et al., npj
Comput. Mater. 2, 16028 (2016), as matminer (BSD licence) carries them: where one has no value for an element, the
average over the elements that have one stands in, matminer's default.
"""

import importlib.metadata
import warnings
from pathlib import Path

import numpy as np
from matminer.utils.data import MagpieData, PymatgenData
from pymatgen.core import Element

PROPERTIES = (
    "Number MendeleevNumber AtomicWeight MeltingT Column Row CovalentRadius Electronegativity NsValence NpValence "
    "NdValence NfValence NValence NsUnfilled NpUnfilled NdUnfilled NfUnfilled NUnfilled GSvolume_pa GSbandgap GSmagmom "
    "SpaceGroupNumber"
).split()


def oxidation_states(element: Element) -> list[int]:
    """The states that pymatgen's charge balance tries for an element, as matminer calls it."""
    common = PymatgenData().get_oxidation_states(element)
    return sorted(common or element.icsd_oxidation_states)


def main() -> None:
    """Write the file beside this one."""
    warnings.simplefilter("ignore")
    magpie, pymatgen = MagpieData(), PymatgenData()
    elements = [Element.from_Z(z) for z in range(1, 119)]
    properties = [[magpie.get_elemental_property(e, p) for p in PROPERTIES] for e in elements]
    states = [oxidation_states(e) for e in elements]
    source = " ".join(f"{name}=={importlib.metadata.version(name)}" for name in ("matminer", "pymatgen-core"))
    np.savez_compressed(
        Path(__file__).with_name("elements.npz"),
        names=np.array(PROPERTIES),
        properties=np.array([[np.nan] * len(PROPERTIES), *properties]),
        electronegativity=np.array([np.nan, *(pymatgen.get_elemental_property(e, "X") for e in elements)]),
        first_state=np.concatenate([[0, 0], np.cumsum([len(s) for s in states])]),
        states=np.array([q for s in states for q in s], np.int8),
        source=np.array(source),
    )


if __name__ == "__main__":
    main()
