//! What a message is: its type in the contract, its number in rows, what the network is told.

/// The type of a message. The network sees it in the clear beside the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Category {
    /// A free-form text.
    Text = 1,
    /// A picture.
    Image = 2,
    /// A recording.
    Audio = 3,
    /// A film.
    Video = 4,
    /// A file.
    Document = 5,
    /// A sticker.
    Sticker = 6,
    /// A place.
    Location = 7,
    /// Address cards.
    Contacts = 8,
    /// A message written in advance, approved by the network.
    Template = 9,
    /// A message with something to choose, to fill in or to buy.
    Interactive = 10,
    /// An emoji at another message.
    Reaction = 11,
    /// A template as clients before v2.39 wrote it.
    Hsm = 12,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Text,
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::Document,
        Self::Sticker,
        Self::Location,
        Self::Contacts,
        Self::Template,
        Self::Interactive,
        Self::Reaction,
        Self::Hsm,
    ];

    /// Its name in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
            Self::Sticker => "sticker",
            Self::Location => "location",
            Self::Contacts => "contacts",
            Self::Template => "template",
            Self::Interactive => "interactive",
            Self::Reaction => "reaction",
            Self::Hsm => "hsm",
        }
    }

    /// As stored. The numbers never change.
    #[must_use]
    pub fn get(self) -> u8 {
        self as u8
    }

    /// From a stored number; `None` for one of a newer version.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.get() == number)
    }

    /// It may begin a conversation: everything else waits for the customer to have written.
    #[must_use]
    pub fn is_template(self) -> bool {
        matches!(self, Self::Template | Self::Hsm)
    }
}
