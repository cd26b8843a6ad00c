//! world
pub mod demo {
    use std::path::PathBuf;
    #[derive(Clone, Debug, Default)]
    pub struct DemoOptions {
        pub ready_file: Option<PathBuf>,
        pub speed: u32,
        pub data_dir: Option<PathBuf>,
        pub port_base: Option<u16>,
        pub traffic: Option<u32>,
    }
    #[derive(Debug, thiserror::Error)]
    #[error("demo")]
    pub struct DemoError;
    pub async fn demo(_options: DemoOptions) -> Result<(), DemoError> {
        todo!()
    }
}
