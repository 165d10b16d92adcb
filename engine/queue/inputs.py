"""Inputs for the codes that a group runs: VASP as the Materials Project does, Quantum ESPRESSO, or structures alone."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

from pymatgen.core import Element, Structure
from pymatgen.io.pwscf import PWInput
from pymatgen.io.vasp import Kpoints
from pymatgen.io.vasp.sets import MPRelaxSet

from matscreen.models.errors import InputError

Writer = Callable[[Structure, Path], None]

QE_PREFIX = "matscreen"
KPOINTS_PER_ATOM = 1000
"""k points times atoms of Quantum ESPRESSO's grids; VASP's are those of `MPRelaxSet`."""

DEFAULT_CUTOFF, CHARGE_TIMES = 60.0, 8.0
"""Ry; where a pseudopotential does not suggest one, and how much more the charge density takes (ultrasoft)."""

PBE = frozenset(("PBE", "SLA PW PBE PBE", "SLA PW PBX PBC", "PBE PBE PBE PBE"))
"""Spellings of it in UPF files, older ones by its four parts."""

MAGNETIC = frozenset(("V", "Cr", "Mn", "Fe", "Co", "Ni", "Ce", "Eu", "Gd", "U", "Np", "Pu"))


def vasp(structure: Structure, folder: Path) -> None:
    """INCAR, KPOINTS and POSCAR of pymatgen's `MPRelaxSet`; POTCAR.spec names the potentials, it holds none of them.

    Without its Hubbard U: formation energies are differences to the elements, which have none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ordered = structure.get_sorted_structure()
        MPRelaxSet(ordered, user_incar_settings={"LDAU": False}).write_input(
            str(folder), make_dir_if_not_present=True, potcar_spec=True
        )


def quantum_espresso(pseudopotentials: Path) -> Writer:
    """What writes `pw.in` for a variable-cell relaxation with the UPF files of a folder, one an element.

    All of one functional, PBE if there are such for every element. InputError if the folder holds none.
    """
    if not pseudopotentials.is_dir():
        raise InputError(f"no such folder of pseudopotentials: {pseudopotentials}")
    by_functional: dict[str, dict[str, Path]] = {}
    for file in sorted(pseudopotentials.iterdir()):
        symbol = re.split(r"[._-]", file.name, maxsplit=1)[0].capitalize()
        if file.suffix.lower() == ".upf" and Element.is_valid_symbol(symbol):
            by_functional.setdefault(functional(file), {}).setdefault(symbol, file)
    if not by_functional:
        raise InputError(f"{pseudopotentials} holds no pseudopotentials named by element, such as Na.pbe-….UPF")

    def write(structure: Structure, folder: Path) -> None:
        symbols = sorted({site.specie.symbol for site in structure})
        named = sorted(by_functional, key=lambda name: (name != "PBE", name))
        files = next((by_functional[name] for name in named if set(symbols) <= set(by_functional[name])), None)
        if files is None:
            raise InputError(f"{pseudopotentials} has no pseudopotentials of one functional for {', '.join(symbols)}")
        suggested = [suggested_cutoffs(files[symbol]) for symbol in symbols]
        wave = max(cutoff for cutoff, _ in suggested)
        system = {
            "ecutwfc": wave,
            "ecutrho": max(CHARGE_TIMES * wave, max(charge for _, charge in suggested)),
            "occupations": "smearing",
            "smearing": "mv",
            "degauss": 0.01,
        }
        if MAGNETIC & set(symbols):
            system["nspin"] = 2
            system |= {f"starting_magnetization({n})": 0.5 for n, s in enumerate(symbols, 1) if s in MAGNETIC}
        grid = Kpoints.automatic_density(structure, KPOINTS_PER_ATOM).kpts[0]
        written = PWInput(
            structure,
            pseudo={symbol: files[symbol].name for symbol in symbols},
            control={
                "calculation": "vc-relax",
                "prefix": QE_PREFIX,
                "outdir": ".",
                "pseudo_dir": str(pseudopotentials.resolve()),
                "etot_conv_thr": 1e-5,
                "forc_conv_thr": 1e-4,
            },
            system=system,
            electrons={"conv_thr": 1e-8 * len(structure), "mixing_beta": 0.4},
            kpoints_grid=grid,
        )
        written.write_file(folder / "pw.in")

    return write


def functional(file: Path) -> str:
    """The exchange-correlation functional that a UPF file names, in one spelling; empty where it names none."""
    head = _head(file)
    match = re.search(r'\bfunctional\s*=\s*"([^"]+)"', head) or re.search(
        r"^\s*(\S.*?)\s+Exchange-Correlation", head, re.MULTILINE
    )
    name = " ".join(match[1].upper().replace("-", " ").split()) if match else ""
    return "PBE" if name in PBE else name


def _head(file: Path) -> str:
    with file.open(errors="replace") as stream:
        return stream.read(20_000)


def suggested_cutoffs(file: Path) -> tuple[float, float]:
    """Ry: the cutoffs of wave functions and charge that a UPF file suggests; a usual one, and 0, where it does not."""
    head, found = _head(file), []
    for attribute, words in (("wfc_cutoff", "for wavefunctions"), ("rho_cutoff", "for charge density")):
        match = re.search(rf'\b{attribute}\s*=\s*"\s*([0-9.eE+-]+)', head) or re.search(
            rf"Suggested minimum cutoff {words}:\s*([0-9.]+)", head
        )
        value = float(match[1]) if match else 0.0
        found.append(value if value < 1000 else 0.0)
    return found[0] or DEFAULT_CUTOFF, found[1]


def cif(structure: Structure, folder: Path) -> None:
    """Nothing more: every entry has its `structure.cif`."""
