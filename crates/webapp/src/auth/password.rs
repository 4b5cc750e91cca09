//! Passwords: argon2id on few threads, so that a flood of logins takes a bounded share of the
//! machine. Unknown names are hashed too: the time taken does not tell them from known ones.

use std::{num::NonZeroUsize, sync::Arc, thread::available_parallelism};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{
        self,
        phc::{Output, ParamsString, Salt},
    },
};
use contract::{ApiError, Code, Rng, login::Secret};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::background::{Background, Gone};

/// Memory of one hash, KiB. These three are OWASP's recommendation for argon2id.
const MEMORY_KIB: u32 = 19_456;
/// Passes over it.
const PASSES: u32 = 2;
/// Threads of one hash.
const LANES: u32 = 1;
/// Threads that hash, at most; fewer where there are not twice as many cores. Each keeps its memory.
const MAX_THREADS: usize = 4;
/// Logins that wait for a thread; one more is refused with 1016.
const MAX_WAITING: usize = 64;
const SALT_BYTES: usize = 16;

/// Why there is nothing to look at passwords with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordsError {
    #[error("argon2 refused our parameters: {0}")]
    Argon2(#[from] password_hash::Error),
    #[error("failed to start a thread for passwords: {0}")]
    Thread(#[from] std::io::Error),
}

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    params: Params,
    /// Verified against when there is no such user.
    dummy: Arc<str>,
    background: Background<Memory>,
    /// As many permits as `background` has threads.
    threads: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The right to use a hashing thread. Held over check and bookkeeping, it bounds how many guesses
/// can be under way before a failure counts.
pub(crate) struct Thread {
    _permit: OwnedSemaphorePermit,
}

impl Passwords {
    /// # Errors
    /// When argon2 refuses its parameters, the hash of the dummy fails or no thread starts.
    pub(crate) fn new(rng: &impl Rng) -> Result<Self, PasswordsError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
            .map_err(|_| password_hash::Error::ParamsInvalid)?;
        let mut nobodys = [0; 32];
        rng.fill(&mut nobodys);
        let dummy = Memory::default().hashed(&params, &nobodys, &salt(rng))?.into();
        let threads =
            (available_parallelism().map_or(1, NonZeroUsize::get) / 2).clamp(1, MAX_THREADS);
        Ok(Self {
            params,
            dummy,
            background: Background::start("passwords", threads)?,
            threads: Arc::new(Semaphore::new(threads)),
            waiting: Semaphore::new(MAX_WAITING),
        })
    }

    /// Waits for a thread.
    ///
    /// # Errors
    /// 503/1016 when too many wait already.
    pub(crate) async fn thread(&self) -> Result<Thread, ApiError> {
        let busy = || {
            ApiError::new(Code::OVERLOADED, "Too many logins at once; repeat later")
                .retry_after_ms(1_000)
        };
        let _place = self.waiting.try_acquire().map_err(|_| busy())?;
        let permit = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| busy())?;
        Ok(Thread { _permit: permit })
    }

    /// Is it the password of `hash`? Without a hash it is not, after the same time.
    ///
    /// # Errors
    /// 500/1014 when the process is stopping.
    pub(crate) async fn verify(
        &self,
        thread: Thread,
        password: &Secret,
        hash: Option<String>,
    ) -> Result<(bool, Thread), ApiError> {
        let password = password.clone();
        let known = hash.is_some();
        let hash: Arc<str> = hash.map_or_else(|| Arc::clone(&self.dummy), Into::into);
        // The permit goes with the work: a client that leaves frees no thread that is still busy.
        let work = self.background.run(move |memory| {
            let right = memory.verified(password.expose().as_bytes(), &hash).unwrap_or(false);
            (right, thread)
        });
        match work.await {
            Ok((right, thread)) => Ok((right && known, thread)),
            Err(Gone) => Err(ApiError::new(Code::INTERNAL, "The password could not be checked")),
        }
    }

    /// The hash of a new password, a PHC string.
    ///
    /// # Errors
    /// 500/1014 when it cannot be made.
    pub(crate) async fn hash(
        &self,
        thread: Thread,
        rng: &impl Rng,
        password: &Secret,
    ) -> Result<String, ApiError> {
        let (params, password, salt) = (self.params.clone(), password.clone(), salt(rng));
        let work = self.background.run(move |memory| {
            let hash = memory.hashed(&params, password.expose().as_bytes(), &salt);
            drop(thread);
            hash
        });
        let failed = || ApiError::new(Code::INTERNAL, "The new password could not be hashed");
        work.await.map_err(|Gone| failed())?.map_err(|_| failed())
    }
}

fn salt(rng: &impl Rng) -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    rng.fill(&mut salt);
    salt
}

/// What a thread computes hashes in. Kept from one to the next: 19 MiB anew each time are 5,000 page
/// faults, which hold up the other threads of the process too.
#[derive(Default)]
struct Memory(Vec<Block>);

impl Memory {
    fn hashed(
        &mut self,
        params: &Params,
        password: &[u8],
        salt: &[u8],
    ) -> Result<String, password_hash::Error> {
        let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
        let output = self.output(algorithm, version, params.clone(), password, salt)?;
        let hash = PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(params)?,
            salt: Some(Salt::new(salt)?),
            hash: Some(output),
        };
        Ok(hash.to_string())
    }

    /// Is it the password of `hash`, with the parameters that are in it?
    fn verified(&mut self, password: &[u8], hash: &str) -> Result<bool, password_hash::Error> {
        let hash = PasswordHash::new(hash)?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str())?;
        let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from)?;
        let (Some(salt), Some(wanted)) = (&hash.salt, &hash.hash) else { return Ok(false) };
        let output = self.output(algorithm, version, Params::try_from(&hash)?, password, salt)?;
        // `Output` compares in constant time.
        Ok(output == *wanted)
    }

    fn output(
        &mut self,
        algorithm: Algorithm,
        version: Version,
        params: Params,
        password: &[u8],
        salt: &[u8],
    ) -> Result<Output, password_hash::Error> {
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        if self.0.len() < params.block_count() {
            self.0.resize(params.block_count(), Block::new());
        }
        let mut out = [0; Output::MAX_LENGTH];
        let out = out.get_mut(..length).ok_or(password_hash::Error::OutputSize)?;
        let argon2 = Argon2::new(algorithm, version, params);
        argon2.hash_password_into_with_memory(password, salt, out, &mut self.0)?;
        Ok(Output::new(out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Rng for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_right() {
        let passwords = Passwords::new(&Fixed).unwrap();
        let (right, wrong) = (Secret::new("N3w-Secret".to_owned()), Secret::new("no".to_owned()));
        let hash = passwords.hash(passwords.thread().await.unwrap(), &Fixed, &right).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        for (password, hash, good) in [
            (&right, Some(hash.clone()), true),
            (&wrong, Some(hash), false),
            (&right, None, false),
            (&right, Some("no hash".to_owned()), false),
        ] {
            let thread = passwords.thread().await.unwrap();
            assert_eq!(passwords.verify(thread, password, hash).await.unwrap().0, good);
        }
    }
}
