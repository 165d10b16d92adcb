"""The chemical elements, by atomic number, and the 86 that ElemNet knows.

Elements travel through the engine as atomic numbers (uint8); 0 marks an empty place.
"""

SYMBOLS: tuple[str, ...] = (
    "",  # place 0: no element
    *"H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar".split(),
    *"K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr".split(),
    *"Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe".split(),
    *"Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu".split(),
    *"Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn".split(),
    *"Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr".split(),
    *"Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og".split(),
)
"""Symbol of each atomic number 1…118 (index 0 is empty)."""

ATOMIC_NUMBERS: dict[str, int] = {symbol: z for z, symbol in enumerate(SYMBOLS) if z}

ELEMNET_ELEMENTS: tuple[int, ...] = tuple(
    z for z in range(1, 95) if SYMBOLS[z] not in {"He", "Ne", "Ar", "Po", "At", "Rn", "Fr", "Ra"}
)
"""Atomic numbers of ElemNet's 86 input fractions, H…Pu (Jha 2020, chapter 3)."""

_BY_ELECTRONEGATIVITY = (
    "Fr Cs K Rb Ba Ra Na Sr Li Ca Ac La Tb Yb Ce Pm Pr Nd Sm Eu Gd Dy Y Ho Er Tm Lu Pu Am Bk Cf Cm Es Fm Hf Lr Md No "
    "Th Mg Zr Np Sc U Pa Ta Ti Mn Be Nb Al Tl V Zn Cr Cd In Ga Fe Co Cu Re Si Tc Ni Ag Sn Hg Po Ge Bi B Sb Te Mo As P "
    "At H Ir Os Pd Rn Ru Pt Rh Pb W Au C Se S Xe I Br Kr N Cl O F"
).split()

FORMULA_ORDER: tuple[int, ...] = tuple(
    _BY_ELECTRONEGATIVITY.index(symbol) if symbol in _BY_ELECTRONEGATIVITY else len(SYMBOLS) + z
    for z, symbol in enumerate(SYMBOLS)
)
"""Of each atomic number: its place in a formula as people write it, by rising Pauling electronegativity (LiFePO4)."""
