// A lineage as a tree: what hangs below what, which rows are seen, and what each one lost of its parent's scopes.
//
// Pure: no document, no network. Nodes are those of /v1/lineage/{permit}; of a node that is withheld the parent is known only if it is an
// ancestor of the one that was asked for.

export class Tree {
  #nodes = new Map();
  #children = new Map();
  #collapsed = new Set();

  // The first look: ancestors, the node itself, descendants. Later looks bring descendants only.
  constructor({ ancestors, node, descendants }) {
    const chain = [...ancestors, node];
    chain.forEach((one, at) => this.#add(one, at === 0 ? null : chain[at - 1].permit));
    this.root = chain[0].permit;
    this.asked = node.permit;
    this.grow(descendants);
  }

  // More descendants, in the order of the log: a parent comes before its children.
  grow(descendants) {
    for (const one of descendants) if (!this.#nodes.has(one.permit)) this.#add(one, one.parent);
  }

  #add(node, parent) {
    const above = this.#nodes.get(parent) ?? null;
    const depth = above === null ? 0 : above.depth + 1;
    this.#nodes.set(node.permit, { node, parent: above?.node.permit ?? null, depth, lost: lost(above?.node, node) });
    if (above !== null) {
      if (!this.#children.has(parent)) this.#children.set(parent, []);
      this.#children.get(parent).push(node.permit);
    }
  }

  get size() {
    return this.#nodes.size;
  }

  get(permit) {
    return this.#nodes.get(permit);
  }

  nodes() {
    return [...this.#nodes.values()];
  }

  children(permit) {
    return this.#children.get(permit) ?? [];
  }

  isCollapsed(permit) {
    return this.#collapsed.has(permit);
  }

  // Folds or unfolds; what has no children stays as it is. Answers whether anything changed.
  fold(permit, folded) {
    if (this.children(permit).length === 0 || this.#collapsed.has(permit) === folded) return false;
    if (folded) this.#collapsed.add(permit);
    else this.#collapsed.delete(permit);
    return true;
  }

  // Folds everything from a depth on, or unfolds everything.
  foldBelow(depth) {
    this.#collapsed.clear();
    if (depth === null) return;
    for (const { node, depth: at } of this.#nodes.values()) if (at >= depth && this.children(node.permit).length > 0) this.#collapsed.add(node.permit);
  }

  // The rows that are seen, depth first. A lineage is at most 33 deep, as wide as it likes. `rails` tells for each depth above whether that
  // ancestor has more children below: where a line goes on.
  rows() {
    const rows = [];
    const open = [{ permit: this.root, place: 1, of: 1, rails: [] }];
    while (open.length > 0) {
      const { permit, place, of, rails } = open.pop();
      const children = this.children(permit);
      const folded = this.#collapsed.has(permit);
      rows.push({ ...this.#nodes.get(permit), place, of, rails, children: children.length, folded });
      if (folded) continue;
      const below = [...rails, place < of];
      for (let at = children.length - 1; at >= 0; at -= 1) {
        open.push({ permit: children[at], place: at + 1, of: children.length, rails: below });
      }
    }
    return rows;
  }

  // From the first recording to the last end, Unix ms.
  span() {
    let [from, to] = [Infinity, -Infinity];
    for (const { node } of this.#nodes.values()) {
      from = Math.min(from, Date.parse(node.recorded_at));
      to = Math.max(to, Date.parse(node.expires_at ?? node.recorded_at));
    }
    return [from, Math.max(to, from + 1)];
  }
}

// The parent's scopes that the child has no more; null where either is not shown.
function lost(parent, child) {
  if (!parent?.scopes || !child.scopes) return null;
  return parent.scopes.filter((scope) => !child.scopes.includes(scope));
}
