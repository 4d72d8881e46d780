//! `demo:echo`: what was sent comes back byte for byte, as a result or as an error, now or later.

use super::{Params, application_error, bad_params, encode};
use bytes::Bytes;
use relay_tokio::{BoxFuture, Service, ServiceError, ServiceRequest, ServiceResult};
use serde_json::value::RawValue;
use std::time::Duration;

pub(super) struct Echo;

impl Service for Echo {
    fn methods(&self) -> Vec<String> {
        ["echo", "fail", "sleep"].map(str::to_owned).to_vec()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        Box::pin(async move {
            match request.method.as_str() {
                "echo" if request.body.is_empty() => Ok(Bytes::from_static(b"null")),
                "echo" => Ok(request.body),
                "fail" => Err(fail(&request.body)),
                "sleep" => sleep(&request.body).await,
                _ => Err(ServiceError::no_such_method(&request.method)),
            }
        })
    }
}

fn fail(body: &[u8]) -> ServiceError {
    let data = match body {
        [] => None,
        body => match serde_json::from_slice::<&RawValue>(body) {
            Ok(data) => Some(data),
            Err(error) => return bad_params(&format!("the parameters cannot be read: {error}")),
        },
    };
    application_error("failed, as you asked", data)
}

async fn sleep(body: &[u8]) -> ServiceResult {
    let millis: u64 = Params::parse(body)?.need(0, "ms")?;
    if millis > SLEEP_MILLIS_MAX {
        return Err(bad_params(&format!("'ms' is at most {SLEEP_MILLIS_MAX}")));
    }
    tokio::time::sleep(Duration::from_millis(millis)).await;
    encode(&serde_json::json!({ "slept_ms": millis }))
}

const SLEEP_MILLIS_MAX: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::super::Demo;
    use super::super::tests::{call, open};
    use relay_tokio::ServiceError;

    #[tokio::test]
    async fn bytes_come_back_unchanged() {
        let echo = open(Demo::Echo);
        for body in ["[1e400,-0, 1152921504606846976]", r#"{"a":1,"a":"\ud83d\ude00 😀"}"#] {
            assert_eq!(call(echo.as_ref(), "echo", body).await.unwrap(), body);
            let expected =
                format!(r#"{{"code":-32000,"message":"failed, as you asked","data":{body}}}"#);
            let expected = Err(ServiceError::Application(expected.into()));
            assert_eq!(call(echo.as_ref(), "fail", body).await, expected);
        }
        assert_eq!(call(echo.as_ref(), "echo", "").await.unwrap(), "null");
    }

    #[tokio::test]
    async fn sleep_is_bounded() {
        let echo = open(Demo::Echo);
        assert_eq!(call(echo.as_ref(), "sleep", "[1]").await.unwrap(), r#"{"slept_ms":1}"#);
        for body in ["", "[60001]", "[-1]", r#"{"ms":"1"}"#] {
            assert!(call(echo.as_ref(), "sleep", body).await.is_err(), "{body}");
        }
    }
}
