//! Every error code that a client may see, and its meaning. The guide's table is made from this list, and the
//! constructors of errors assert that their code is in it.

use Shown::{Answer, Either, Job};

/// One code.
#[derive(Debug)]
pub struct Code {
    /// Stable, `snake_case`, fit to branch on.
    pub code: &'static str,
    /// Where a client sees it.
    pub shown: Shown,
    /// When it is given.
    pub when: &'static str,
}

/// Where a client sees a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// In an answer with that HTTP status.
    Answer(u16),
    /// In the `error` of a failed job. While a failure is being retried, its code is in the job's `retry`.
    Job,
    /// In an answer with that HTTP status if the error is known at once, otherwise in the `error` of a job.
    Either(u16),
}

const fn code(code: &'static str, shown: Shown, when: &'static str) -> Code {
    Code { code, shown, when }
}

/// Every code, grouped by subject, roughly in the order in which a request meets them; a new one goes beside its like.
pub const CODES: &[Code] = &[
    code("invalid_json", Answer(400), "The body, or the part `request`, is not JSON."),
    code(
        "invalid_request",
        Answer(400),
        "The JSON lacks a member, or has one that is unknown or of the wrong type.",
    ),
    code("invalid_form", Answer(400), "The form cannot be read."),
    code(
        "invalid_query",
        Answer(400),
        "The query cannot be read, or names an option that the route does not take.",
    ),
    code("key_missing", Answer(401), "The request has no key, and the service asks for one."),
    code("key_invalid", Answer(401), "There is no such key: it never was, was revoked, or has ended."),
    code("key_does_not_allow_this", Answer(403), "The key does not have the scope that the request takes."),
    code(
        "quota_used_up",
        Answer(429),
        "The key's owner has used as many jobs or bytes as a day allows, or has as many unended jobs as are allowed.",
    ),
    code("invalid_owner", Answer(400), "`owner` is no name that an owner of keys could have."),
    code("unreadable_body", Answer(400), "The body did not arrive whole."),
    code(
        "request_too_large",
        Answer(413),
        "The body of a JSON request, or the options of another one, are larger than any request needs them to be.",
    ),
    code("missing_image", Answer(400), "The submission has no image."),
    code("duplicate_image", Answer(400), "The submission has more than one image."),
    code("duplicate_request", Answer(400), "The form has more than one part `request`."),
    code("empty_image", Either(400), "The image has no bytes."),
    code(
        "unsupported_content_type",
        Answer(415),
        "The body is of a type that no submission has, or the `content_type` of an upload is that of no format that is read.",
    ),
    code("unknown_format", Either(415), "The first bytes are those of no image format that is known here."),
    code(
        "unsupported_format",
        Either(415),
        "The format is known by name and not taken, or the file uses a part of its format that is not; the message says what to do instead.",
    ),
    code(
        "image_too_large",
        Either(413),
        "The image has more bytes than are taken by that way: see the limits. A request that is too large for itself is told of `/uploads`.",
    ),
    code("unknown_algorithm", Either(400), "No algorithm has that name."),
    code("duplicate_algorithm", Answer(400), "The submission names an algorithm twice."),
    code("unknown_parameter", Answer(400), "The algorithm has no such parameter."),
    code("missing_parameter", Answer(400), "A parameter without a default was not given."),
    code(
        "invalid_parameter",
        Either(400),
        "A parameter is of the wrong type, out of range, or contradicts another one.",
    ),
    code(
        "invalid_parameters",
        Job,
        "The parameters of a queued job are refused by the version that runs it.",
    ),
    code("duplicate_parameter", Answer(400), "An option is given twice, or in two ways."),
    code(
        "missing_callback_url",
        Answer(400),
        "There is a `callback_token`, or there are `callback_headers`, and no `callback_url`.",
    ),
    code(
        "invalid_callback_token",
        Answer(400),
        "The token is empty or longer than 512 characters, has others than visible ASCII, or begins with `whsec_` and is not the Base64 of 24 to 64 bytes.",
    ),
    code(
        "invalid_callback_headers",
        Answer(400),
        "There are more than 5, a name or a value cannot be sent, a name comes twice, or the service sends that header itself.",
    ),
    code(
        "invalid_url",
        Answer(400),
        "`image_url` or `callback_url` is no absolute http(s) URL, has more than 2,048 bytes, or has a user name or a password, which belong into `callback_headers`.",
    ),
    code(
        "private_address",
        Either(400),
        "`image_url` or `callback_url` leads to a private, local or reserved address.",
    ),
    code("invalid_limit", Answer(400), "`limit` is not a number from 1 to 100."),
    code("invalid_cursor", Answer(400), "`cursor` is none that a list has given."),
    code("invalid_status", Answer(400), "`status` is none that a job has."),
    code(
        "job_not_found",
        Answer(404),
        "There is no such job: it never existed, was deleted, or has expired.",
    ),
    code(
        "invalid_idempotency_key",
        Answer(400),
        "`Idempotency-Key` is empty or longer than 255 characters, or has others than visible ASCII.",
    ),
    code(
        "idempotency_key_reused",
        Answer(422),
        "Another request had the same `Idempotency-Key` within the last 24 hours.",
    ),
    code("invalid_deadline", Answer(400), "`deadline` is not a whole number of seconds from 10 to 86,400."),
    code("invalid_sha256", Answer(400), "`sha256` is not the SHA-256 of something, in hexadecimal."),
    code("no_callback", Answer(409), "The job has no callback, or has not ended."),
    code("result_not_found", Answer(404), "The job has no such result, or not yet."),
    code("no_such_route", Answer(404), "There is no such route."),
    code("method_not_allowed", Answer(405), "The route does not take that method."),
    code(
        "upload_not_granted",
        Answer(403),
        "The upload or download is not what its address was signed for, or the address is too old. On AWS, S3 says so in XML.",
    ),
    code(
        "already_uploaded",
        Answer(412),
        "The job has its image already. On AWS, S3 itself answers so, in XML.",
    ),
    code("throttled", Answer(429), "There are too many requests; `Retry-After` says when to try again."),
    code(
        "refused",
        Answer(400),
        "API Gateway itself refused the request, for the reason that the message names; the status is 400 or another of its own, such as 403.",
    ),
    code(
        "temporarily_unavailable",
        Answer(503),
        "A store or queue did not answer; `Retry-After` says when to try again.",
    ),
    code(
        "internal_error",
        Either(500),
        "A fault of the service, which has been recorded; `request_id` names the request in its logs. API Gateway says the same with 504 where a function did not answer in time.",
    ),
    code("source_refused", Job, "The image's server answered with a status that is no success."),
    code(
        "source_unavailable",
        Job,
        "The image's server failed or asked to be asked later (408, 425, 429, 5xx), at every try.",
    ),
    code(
        "source_unreachable",
        Job,
        "The image's server could not be found or connected to, or did not answer in HTTP, at every try; the message says which.",
    ),
    code(
        "source_tls",
        Job,
        "The certificate of the image's server is not valid, or no secure connection came about at every try.",
    ),
    code("source_timeout", Job, "The image's server answered too late, or sent too slowly, at every try."),
    code(
        "source_incomplete",
        Job,
        "The image's server ended the connection before its answer was whole, or sent a part of the image only, at every try.",
    ),
    code(
        "source_encoding",
        Job,
        "The `Content-Encoding` of the answer is none that is read (gzip, deflate, br), or the content is not so encoded.",
    ),
    code("too_many_redirects", Job, "The image's address led through more redirects than are followed."),
    code("source_missing", Job, "The stored image was gone when a worker came to it."),
    code("too_many_pixels", Job, "The image has more pixels than are taken, frames summed."),
    code("too_many_frames", Job, "The animation has more frames than are taken."),
    code("decoder_memory", Job, "Decoding the image would take more memory than is allowed."),
    code("corrupt_image", Job, "The image is damaged beyond showing anything."),
    code(
        "thumbnail_too_large",
        Job,
        "The frames of an animated thumbnail would have more pixels in all than an image may have.",
    ),
    code("time_limit", Job, "The work took longer than a job may."),
    code(
        "detector_memory",
        Job,
        "The search would take more memory than is allowed. A region, or a smaller image, takes less.",
    ),
    code(
        "result_too_large",
        Job,
        "A file of the result has more bytes than are stored. Fewer findings, or a smaller thumbnail, have less.",
    ),
    code("region_outside_image", Job, "The region to be searched is not within the image."),
    code("model_not_found", Job, "The model or its description is not in the models bucket."),
    code(
        "model_unreadable",
        Job,
        "The worker must not read the model or its description, or could not in time at three tries.",
    ),
    code(
        "model_too_large",
        Job,
        "The model, its description, its operators or what a step of it takes in memory is more than is taken.",
    ),
    code("invalid_model", Job, "The file is no whole ONNX model, or uses what is not supported."),
    code("invalid_model_description", Job, "The description is not as the guide says."),
    code("model_mismatch", Job, "The model and its description disagree about the input or an output."),
    code(
        "too_many_tiles",
        Job,
        "The image or the region would be shown to the model in more than 10,000 tiles.",
    ),
    code(
        "worker_crashed",
        Job,
        "The work on the image came upon a fault of the service, which has been recorded.",
    ),
    code(
        "out_of_memory_or_timeout",
        Job,
        "Every attempt at the job was lost while it was worked on: it ran out of memory or time, or was stopped.",
    ),
    code("deadline_passed", Job, "The job had not ended by its deadline."),
    code("upload_never_came", Job, "Nothing was uploaded while the address for it was valid."),
    code(
        "upload_changed",
        Either(400),
        "The upload is not the file whose SHA-256 was announced, or was replaced after the work on it had begun.",
    ),
];

/// Whether a code is in the list.
#[must_use]
pub fn is_known(code: &str) -> bool {
    CODES.iter().any(|known| known.code == code)
}
