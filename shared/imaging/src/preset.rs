//! Chat services' emoji and stickers: a size in pixels and a size in bytes that a file must keep to.
//!
//! | service | says | where |
//! |---|---|---|
//! | Slack | "square images under 128KB", at most 50 frames | Web API, `admin.emoji.add`; its upload form |
//! | Discord | "under 256KB" | support.discord.com, Custom Emojis |
//! | Teams | under 256 KB | support.microsoft.com, Use custom emojis in Microsoft Teams |
//! | Mastodon | less than 256 KB; PNG, GIF or WebP | `app/models/custom_emoji.rb`; pull request 18788 |
//! | Mattermost | GIF or PNG up to 512 KiB, 128×128 | docs.mattermost.com, React to messages; `app/emoji.go` |
//! | Zulip | scaled to 64×64, at most 128 KiB then | `zerver/lib/thumbnail.py`: `DEFAULT_EMOJI_SIZE` |
//! | WhatsApp | WebP, 512×512, 100 KB; animated 500 KB, 10 s, a frame 8 ms | WhatsApp/stickers: `StickerPackValidator.java` |
//!
//! A kilobyte is 1000 bytes here, the stricter of its meanings.

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
    /// A sticker: 512×512 in WebP, 100 KB, animated 500 KB and ten seconds.
    Whatsapp,
}

impl Preset {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Slack,
        Self::Discord,
        Self::Teams,
        Self::Mastodon,
        Self::Mattermost,
        Self::Zulip,
        Self::Whatsapp,
    ];

    /// Its name.
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

    /// Pixels across and down.
    #[must_use]
    pub fn size(self) -> (u32, u32) {
        match self {
            Self::Slack | Self::Discord | Self::Teams | Self::Mastodon | Self::Mattermost => (128, 128),
            Self::Zulip => (64, 64),
            Self::Whatsapp => (512, 512),
        }
    }

    /// The most bytes that a file of so many frames may have.
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

    /// The most frames that a file may have; none where any number is taken.
    #[must_use]
    pub fn max_frames(self) -> Option<usize> {
        match self {
            Self::Slack => Some(50),
            _ => None,
        }
    }

    /// The longest that an animation may last, in milliseconds; none where any time is taken.
    #[must_use]
    pub fn max_duration(self) -> Option<u32> {
        match self {
            Self::Whatsapp => Some(10_000),
            _ => None,
        }
    }

    /// The shortest that a frame of an animation may be shown, in milliseconds.
    #[must_use]
    pub fn min_delay(self) -> u32 {
        match self {
            Self::Whatsapp => 8,
            _ => 0,
        }
    }
}
