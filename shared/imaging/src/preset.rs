//! Chat services' emoji and stickers, each with the pixel size and the byte limit that its files must keep to.
//!
//! | service | its rule | source |
//! |---|---|---|
//! | Slack | "square images under 128KB", at most 50 frames | Web API, `admin.emoji.add`; its upload form |
//! | Discord | "under 256KB" | support.discord.com, Custom Emojis |
//! | Teams | under 256 KB | support.microsoft.com, Use custom emojis in Microsoft Teams |
//! | Mastodon | less than 256 KB; PNG, GIF or WebP | `app/models/custom_emoji.rb`; pull request 18788 |
//! | Mattermost | GIF or PNG up to 512 KiB, 128×128 | docs.mattermost.com, React to messages; `app/emoji.go` |
//! | Zulip | scaled to 64×64, at most 128 KiB then | `zerver/lib/thumbnail.py`: `DEFAULT_EMOJI_SIZE` |
//! | WhatsApp | WebP 512×512, 100 KB; animated 500 KB, 10 s, frames ≥8 ms | WhatsApp/stickers: `StickerPackValidator` |
//!
//! A kilobyte is 1000 bytes here, the stricter of its two meanings.

use serde::Deserialize;

/// A chat service that takes emoji, or stickers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 128×128, 128 KB, 50 frames.
    Slack,
    /// 128×128, 256 KB.
    Discord,
    /// 128×128, less than 256 KB.
    Teams,
    /// 128×128, less than 256 KB.
    Mastodon,
    /// 128×128, 512 KB.
    Mattermost,
    /// 64×64, 128 KB.
    Zulip,
    /// Stickers: WebP of 512×512, 100 KB; animated 500 KB and ten seconds.
    Whatsapp,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 7] = [
        Self::Slack,
        Self::Discord,
        Self::Teams,
        Self::Mastodon,
        Self::Mattermost,
        Self::Zulip,
        Self::Whatsapp,
    ];

    /// The preset's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Teams => "teams",
            Self::Mastodon => "mastodon",
            Self::Mattermost => "mattermost",
            Self::Zulip => "zulip",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(self) -> (u32, u32) {
        match self {
            Self::Slack | Self::Discord | Self::Teams | Self::Mastodon | Self::Mattermost => (128, 128),
            Self::Zulip => (64, 64),
            Self::Whatsapp => (512, 512),
        }
    }

    /// The most bytes that a file with so many frames may have.
    #[must_use]
    pub fn max_bytes(self, frames: u32) -> usize {
        match self {
            Self::Slack | Self::Zulip => 128_000,
            Self::Discord => 256_000,
            Self::Teams | Self::Mastodon => 255_999,
            Self::Mattermost => 512_000,
            Self::Whatsapp if frames > 1 => 500_000,
            Self::Whatsapp => 100_000,
        }
    }

    /// The most frames that a file may have; `None` if there is no limit.
    #[must_use]
    pub fn max_frames(self) -> Option<usize> {
        match self {
            Self::Slack => Some(50),
            _ => None,
        }
    }

    /// The longest that an animation may last, in milliseconds; `None` if there is no limit.
    #[must_use]
    pub fn max_duration(self) -> Option<u32> {
        match self {
            Self::Whatsapp => Some(10_000),
            _ => None,
        }
    }

    /// The shortest time that a frame of an animation may be shown, in milliseconds.
    #[must_use]
    pub fn min_delay(self) -> u32 {
        match self {
            Self::Whatsapp => 8,
            _ => 0,
        }
    }
}
