//! Transposed chunks: protobuf messages split into columns, and the machine that glues them together again.
