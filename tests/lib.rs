//! Tests of Darkroom as a whole. `blackbox` talks to a deployed stack over HTTP as any client does, holds the real
//! ports to their contracts, and runs the commands of the documents. `repository` checks what no compiler does, such as
//! that the template routes what the OpenAPI description describes, that the routers answer those routes, and that
//! documents link to files that exist.
