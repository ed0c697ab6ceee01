"""The kernel, without mail: descriptors, processes, sockets, clocks, durable writes."""
