//! Port 6252: users and the account.

use std::sync::Arc;

use ::rpc::{
    coreapp::{
        BackupRequest, BackupResponse, ChangeProfileRequest, ChangeProfileResponse,
        CreateUserRequest, CreateUserResponse, DeleteUserRequest, DeleteUserResponse,
        GetPhotoRequest, GetProfileRequest, GetShardsRequest, Photo, Profile, RequestCodeRequest,
        RequestCodeResponse, RestoreRequest, RestoreResponse, SetPhotoRequest, SetPhotoResponse,
        SetShardsRequest, SetShardsResponse, SetTwoStepRequest, SetTwoStepResponse, Shards,
        VerifyCodeRequest, VerifyCodeResponse, account_server::Account as AccountApi,
        change_profile_request, user_admin_server::UserAdmin,
    },
    error::to_status,
};
use bytes::Bytes;
use contract::{ApiError, Code, Number};
use tonic::{Request, Response, Status};
use upstream::{AccountAction, Pin, Upstream};

use crate::{
    account::{Account, Change},
    control::Control,
};

/// Longest hash of a password taken, bytes.
const HASH_MAX: usize = 512;
/// What GET shows of shards when nobody asked for any.
const SHARDS: u32 = 1;

/// See the proto.
pub(crate) struct AccountService<U> {
    pub account: Arc<Account<U>>,
    pub control: Arc<Control>,
}

impl<U> Clone for AccountService<U> {
    fn clone(&self) -> Self {
        Self { account: self.account.clone(), control: self.control.clone() }
    }
}

/// What a webapp makes of a password.
pub(super) fn check_hash(hash: &str) -> Result<(), ApiError> {
    if hash.starts_with("$argon2id$") && hash.len() <= HASH_MAX {
        return Ok(());
    }
    let details = "'password_hash' must be an argon2id hash as a PHC string";
    Err(ApiError::new(Code::INVALID, details))
}

fn number(digits: &str) -> Result<Number, ApiError> {
    Number::from_digits(digits.as_bytes())
        .map_err(|error| ApiError::new(Code::INVALID, format!("'number': {error}")))
}

#[tonic::async_trait]
impl<U: Upstream> UserAdmin for AccountService<U> {
    async fn create(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let CreateUserRequest { name, password_hash } = request.into_inner();
        contract::login::check_username(&name)
            .and_then(|()| check_hash(&password_hash))
            .map_err(to_status)?;
        self.control.create_user(name, password_hash).await.map_err(to_status)?;
        Ok(Response::new(CreateUserResponse {}))
    }

    async fn delete(
        &self,
        request: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        self.control.delete_user(&request.into_inner().name).await.map_err(to_status)?;
        Ok(Response::new(DeleteUserResponse {}))
    }
}

#[tonic::async_trait]
impl<U: Upstream> AccountApi for AccountService<U> {
    async fn request_code(
        &self,
        request: Request<RequestCodeRequest>,
    ) -> Result<Response<RequestCodeResponse>, Status> {
        let RequestCodeRequest { number: digits, voice, cert, pin } = request.into_inner();
        let number = number(&digits).map_err(to_status)?;
        let action = AccountAction::RequestCode { voice, cert, pin: Pin(pin) };
        let vname = self.account.request_code(number, action).await.map_err(to_status)?;
        Ok(Response::new(RequestCodeResponse {
            registered: vname.is_none(),
            vname: vname.unwrap_or_default(),
        }))
    }

    async fn verify_code(
        &self,
        request: Request<VerifyCodeRequest>,
    ) -> Result<Response<VerifyCodeResponse>, Status> {
        self.account.verify(request.into_inner().code).await.map_err(to_status)?;
        Ok(Response::new(VerifyCodeResponse {}))
    }

    async fn get_shards(
        &self,
        _request: Request<GetShardsRequest>,
    ) -> Result<Response<Shards>, Status> {
        let shards = self.account.registration().await.shards.unwrap_or(SHARDS);
        Ok(Response::new(Shards { shards }))
    }

    async fn set_shards(
        &self,
        request: Request<SetShardsRequest>,
    ) -> Result<Response<SetShardsResponse>, Status> {
        let SetShardsRequest { number: digits, shards, pin, cert } = request.into_inner();
        let number = number(&digits).map_err(to_status)?;
        self.account.set_shards(number, shards, cert, Pin(pin)).await.map_err(to_status)?;
        Ok(Response::new(SetShardsResponse {}))
    }

    async fn set_two_step(
        &self,
        request: Request<SetTwoStepRequest>,
    ) -> Result<Response<SetTwoStepResponse>, Status> {
        self.account.set_two_step(request.into_inner().pin).await.map_err(to_status)?;
        Ok(Response::new(SetTwoStepResponse {}))
    }

    async fn get_profile(
        &self,
        _request: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        let profile = serde_json::to_vec(&self.account.profile().await).unwrap_or_default().into();
        Ok(Response::new(Profile { profile }))
    }

    async fn change_profile(
        &self,
        request: Request<ChangeProfileRequest>,
    ) -> Result<Response<ChangeProfileResponse>, Status> {
        let change = match request.into_inner().change {
            Some(change_profile_request::Change::Business(body)) => Change::Business(body),
            Some(change_profile_request::Change::About(body)) => Change::About(body),
            None => Change::Business(Bytes::from_static(b"{}")),
        };
        self.account.change_profile(change).await.map_err(to_status)?;
        Ok(Response::new(ChangeProfileResponse {}))
    }

    async fn get_photo(
        &self,
        _request: Request<GetPhotoRequest>,
    ) -> Result<Response<Photo>, Status> {
        Ok(Response::new(Photo { image: self.account.photo().await }))
    }

    async fn set_photo(
        &self,
        request: Request<SetPhotoRequest>,
    ) -> Result<Response<SetPhotoResponse>, Status> {
        self.account.set_photo(request.into_inner().image).await.map_err(to_status)?;
        Ok(Response::new(SetPhotoResponse {}))
    }

    async fn backup(
        &self,
        request: Request<BackupRequest>,
    ) -> Result<Response<BackupResponse>, Status> {
        let data = self.account.backup(request.into_inner().password).await.map_err(to_status)?;
        Ok(Response::new(BackupResponse { data }))
    }

    async fn restore(
        &self,
        request: Request<RestoreRequest>,
    ) -> Result<Response<RestoreResponse>, Status> {
        let RestoreRequest { password, data } = request.into_inner();
        self.account.restore(password, &data).await.map_err(to_status)?;
        Ok(Response::new(RestoreResponse {}))
    }
}
