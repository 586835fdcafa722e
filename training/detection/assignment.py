"""The cheapest one-to-one assignment, exactly and inside a program, as DETR's loss needs it."""

import jax
import jax.numpy as jnp


def assign(costs: jax.Array, there: jax.Array) -> jax.Array:
    """Which column each row gets, so that the sum of costs over the rows that are there is least.

    The Hungarian method by shortest augmenting paths: row by row, a path of alternately unused and used pairs is found
    along which the assignment grows by one, with potentials that keep all reduced costs ≥ 0. O(N² M) operations.

    Args:
      costs: [N, M] finite, N ≤ M.
      there: [N] bool; the other rows get no column.

    Returns: [N] int; −1 for a row that is not there.

    Raises ValueError where N > M.
    """
    rows, columns = costs.shape
    if rows > columns:
        raise ValueError(f"{rows} rows cannot each have one of {columns} columns")
    # Column M is the root of every path. `owner` [M + 1]: the row of each column, −1 for none.
    start, limit = columns, jnp.asarray(jnp.inf, costs.dtype)

    def add(row, state):
        owner, of_row, of_column = state

        def grow(path):
            owner, of_row, of_column, least, way, used, here = path
            used = used.at[here].set(True)
            reduced = costs[owner[here]] - of_row[owner[here]] - of_column[:columns]
            free = ~used[:columns]
            shorter = free & (reduced < least)
            least, way = jnp.where(shorter, reduced, least), jnp.where(shorter, here, way)
            open_ones = jnp.where(free, least, limit)
            following, step = open_ones.argmin().astype(jnp.int32), open_ones.min()
            of_row = of_row.at[jnp.where(used, owner, rows)].add(step, mode="drop")
            of_column = jnp.where(used, of_column - step, of_column)
            return owner, of_row, of_column, jnp.where(free, least - step, least), way, used, following

        path = (
            *(owner.at[start].set(row), of_row, of_column),
            *(
                jnp.full(columns, limit),
                jnp.full(columns, start, jnp.int32),
                jnp.zeros(columns + 1, bool),
                jnp.int32(start),
            ),
        )
        owner, of_row, of_column, _, way, _, end = jax.lax.while_loop(lambda path: path[0][path[-1]] >= 0, grow, path)

        def back(state):
            owner, here = state
            return owner.at[here].set(owner[way[here]]), way[here]

        owner, _ = jax.lax.while_loop(lambda state: state[1] != start, back, (owner, end))
        return owner.at[start].set(-1), of_row, of_column

    def visit(row, state):

        return jax.lax.cond(there[row], lambda state: add(row, state), lambda state: state, state)

    state = jnp.full(columns + 1, -1, jnp.int32), jnp.zeros(rows, costs.dtype), jnp.zeros(columns + 1, costs.dtype)
    owner = jax.lax.fori_loop(jnp.int32(0), jnp.int32(rows), visit, state)[0][:columns]
    none = jnp.full(rows, -1, jnp.int32)
    return none.at[jnp.where(owner < 0, rows, owner)].set(jnp.arange(columns, dtype=jnp.int32), mode="drop")
