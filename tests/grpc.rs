//! What an internal service needs that speaks gRPC with a coreapp: the example of the documentation
//! runs as it is, and tools learn the services by reflection.

#[path = "../crates/heliograph/examples/grpc.rs"]
#[expect(dead_code, reason = "its `main` is for the command line")]
mod example;
mod support;

use support::roles::Roles;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const SECRET: &str = "a secret of the whole deployment, long enough";
const PHONE: &str = "4915112345678";

#[tokio::test(flavor = "multi_thread")]
async fn the_example_sends_and_learns_what_became_of_it_with_and_without_a_secret() {
    let clear = Roles::start(1).await;
    let address = format!("127.0.0.1:{}", clear.coreapp);
    let (id, status) = example::send(&address, None, PHONE, "in the clear").await.unwrap();
    assert!(id.starts_with('g') && ["delivered", "read"].contains(&&*status), "{status} {id}");
    assert_eq!(clear.texts_at(PHONE).await, ["in the clear"]);
    drop(clear);
    let sealed = Roles::start_in(1, &[("WA_SECRET", SECRET)]).await;
    let address = format!("127.0.0.1:{}", sealed.coreapp);
    example::send(&address, Some(SECRET), PHONE, "sealed").await.unwrap();
    example::send(&address, None, PHONE, "in the clear").await.expect_err("no way in");
    assert_eq!(sealed.texts_at(PHONE).await, ["sealed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_on_the_control_listener_names_the_services_of_all_listeners() {
    let roles = Roles::start(1).await;
    let url = format!("http://127.0.0.1:{}", roles.coreapp + 2);
    let mut client = ServerReflectionClient::new(rpc::http2::channel(&url, None).unwrap());
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { message_request, ..Default::default() };
    let asked = futures_util::stream::once(async { request });
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else {
        unreachable!("asked for services, got {answer:?}")
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for service in ["Messages", "Contacts", "Events", "Admin", "Ops", "Media", "Account"] {
        let name = format!("heliograph.coreapp.v1.{service}");
        assert!(names.contains(&&*name), "{name} is not among {names:?}");
    }
}
