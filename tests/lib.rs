//! Tests of Darkroom as a whole: `blackbox` talks to a deployed stack over HTTP as any client does, and holds the real
//! ports to their contracts; `repository` checks what no compiler does, such as that the template and the
//! OpenAPI description name the same routes.
