"use strict";
// The lower convex hull of a few phases: every set of k of them whose plane no other lies below is a facet.
// `phases` is [{x: fractions (k), e: eV/atom}]; the answer is a list of facets, each k indices into it.
function hullFacets(phases, k) {
  const facets = [], chosen = [];
  function plane(rows) { // solve Σ_j f_ij c_j = e_i by elimination; null where the phases span less
    const a = rows.map((i) => [...phases[i].x, phases[i].e]);
    for (let c = 0; c < k; c++) {
      let best = c;
      for (let r = c + 1; r < k; r++) if (Math.abs(a[r][c]) > Math.abs(a[best][c])) best = r;
      if (Math.abs(a[best][c]) < 1e-9) return null;
      [a[c], a[best]] = [a[best], a[c]];
      for (let r = 0; r < k; r++) {
        if (r === c) continue;
        const times = a[r][c] / a[c][c];
        if (times) for (let m = c; m <= k; m++) a[r][m] -= times * a[c][m];
      }
    }
    return a.map((row, c) => row[k] / row[c]);
  }
  function extend(from) {
    if (chosen.length === k) {
      const corner = plane(chosen);
      if (!corner) return;
      for (const p of phases) {
        let at = 0;
        for (let j = 0; j < k; j++) at += corner[j] * p.x[j];
        if (p.e < at - 1e-9) return;
      }
      facets.push(chosen.slice());
      return;
    }
    for (let i = from; i < phases.length; i++) {
      chosen.push(i);
      extend(i + 1);
      chosen.pop();
    }
  }
  extend(0);
  return facets;
}

// Pairs of phases that share a facet: the lines of a phase diagram.
function tieLines(facets) {
  const lines = new Map();
  for (const facet of facets)
    for (let a = 0; a < facet.length; a++)
      for (let b = a + 1; b < facet.length; b++) lines.set(facet[a] + "," + facet[b], [facet[a], facet[b]]);
  return [...lines.values()];
}
