"""The floods of `cargo bench --bench sim -- beside`, by programs that others use for such things.

    flood.py TOOL FOLDER

Reads FOLDER/edges and FOLDER/queries, floods the graph once for each query, writes what each cost
(messages, duplicates, nodes reached) to FOLDER/TOOL.counts and a JSON line to standard output. The
time is that of the floods alone, the graph is in memory before; it is also given as time that a core
worked, which is what is left when others use the machine. Tools:

    networkx   a search in breadth, message by message, on a NetworkX graph
    igraph     the same on the adjacency lists of igraph
    simpy      an event for each message on the queue of SimPy, each node with a memory for message ids:
               what a simulation of messages is, while the other two are only searches through a graph

Rules of counting: a message is one copy over one link, counted at the sender; the asker sends to all
neighbours, whoever gets the first copy with hops left to all but its sender; any later copy is a
duplicate.
"""

import json
import sys
import time


def in_breadth(neighbours, asker, ttl):
    """Messages, duplicates, nodes reached."""
    messages = duplicates = 0
    seen = {asker}
    layer = [(asker, None)]
    for _ in range(ttl):
        following = []
        for node, sender in layer:
            for other in neighbours[node]:
                if other == sender:
                    continue
                messages += 1
                if other in seen:
                    duplicates += 1
                else:
                    seen.add(other)
                    following.append((other, node))
        if not following:
            break
        layer = following
    return messages, duplicates, len(seen) - 1


def by_networkx(edges):
    import networkx

    graph = networkx.Graph()
    graph.add_edges_from(edges)
    return lambda asker, ttl: in_breadth(graph.adj, asker, ttl)


def by_igraph(edges):
    import igraph

    neighbours = igraph.Graph(edges=edges).get_adjlist()
    return lambda asker, ttl: in_breadth(neighbours, asker, ttl)


def by_simpy(edges):
    import simpy

    neighbours = {}
    for a, b in edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    # What each node remembers of every query: where it came from first.
    seen = {node: {} for node in neighbours}
    queries = iter(range(sys.maxsize))

    def flood(asker, ttl):
        env = simpy.Environment()
        query = next(queries)
        cost = [0, 0, 0]

        def send(node, sender, ttl):
            for other in neighbours[node]:
                if other != sender:
                    cost[0] += 1
                    message = env.timeout(0.01, (other, node, ttl))
                    message.callbacks.append(arrive)

        def arrive(message):
            node, sender, ttl = message.value
            known = seen[node]
            if query in known:
                cost[1] += 1
                return
            known[query] = sender
            cost[2] += 1
            if ttl > 1:
                send(node, sender, ttl - 1)

        seen[asker][query] = None
        send(asker, None, ttl)
        env.run()
        return tuple(cost)

    return flood


TOOLS = {"networkx": by_networkx, "igraph": by_igraph, "simpy": by_simpy}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in TOOLS:
        sys.exit(f"usage: flood.py {'|'.join(TOOLS)} FOLDER")
    tool, folder = sys.argv[1:]

    def pairs(name):
        with open(f"{folder}/{name}") as lines:
            return [tuple(map(int, line.split())) for line in lines]

    edges, queries = pairs("edges"), pairs("queries")
    flood = TOOLS[tool](edges)
    start, worked = time.perf_counter(), time.process_time()
    counts = [flood(asker, ttl) for asker, ttl in queries]
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    with open(f"{folder}/{tool}.counts", "w") as out:
        for count in counts:
            print(*count, file=out)
    nodes = 1 + max(max(edge) for edge in edges)
    messages = sum(count[0] for count in counts)
    print(json.dumps({
        "bench": "sim-beside",
        "tool": tool,
        "nodes": nodes,
        "degree": 2 * len(edges) // nodes,
        "queries": len(queries),
        "messages": messages,
        "seconds": round(seconds, 3),
        "messages_per_s": round(messages / seconds),
        "messages_per_cpu_s": round(messages / worked),
    }))


if __name__ == "__main__":
    main()
