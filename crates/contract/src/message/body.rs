//! The body of `POST /v1/messages` as a schema. What reads it is in the files beside this one; the
//! bounds are theirs.

use utoipa::ToSchema;

/// A message. Besides `to` and `type` it has the object that is named like its type.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageBody {
    /// The recipient: a `wa_id`, or a phone number with country code in any notation.
    #[schema(max_length = 64, example = "+1 631 555 1004")]
    pub to: String,
    /// Default: `individual`, which is all there is.
    #[schema(inline)]
    pub recipient_type: Option<RecipientType>,
    /// Default: `text`.
    #[schema(inline)]
    pub r#type: Option<MessageType>,
    /// Words.
    #[schema(example = json!({"body": "Hello"}))]
    pub text: Option<TextBody>,
    /// A picture; may have a `caption`.
    pub image: Option<MediaBody>,
    /// A recording.
    pub audio: Option<MediaBody>,
    /// A film; may have a `caption`.
    pub video: Option<MediaBody>,
    /// A file; may have a `caption` and a `filename`.
    pub document: Option<MediaBody>,
    /// A sticker.
    pub sticker: Option<MediaBody>,
    /// A place.
    pub location: Option<LocationBody>,
    /// Address cards.
    #[schema(min_items = 1, max_items = 257)]
    pub contacts: Option<Vec<CardBody>>,
    /// A message written in advance; only such ones may begin a conversation.
    pub template: Option<TemplateBody>,
    /// A template as clients before v2.39 wrote it.
    pub hsm: Option<HsmBody>,
    /// A message with something to choose, to fill in or to buy.
    pub interactive: Option<InteractiveBody>,
    /// An emoji at another message.
    pub reaction: Option<ReactionBody>,
    /// Show a preview of the first link of a text. Default: false.
    pub preview_url: Option<bool>,
    /// The message this one answers; an id that nobody knows is left out.
    pub context: Option<ContextBody>,
    /// History; changes nothing.
    #[schema(value_type = Option<Object>)]
    pub ttl: Option<()>,
    /// Of another API; changes nothing.
    pub messaging_product: Option<String>,
    /// Of another API; changes nothing and is not repeated in callbacks.
    pub biz_opaque_callback_data: Option<String>,
}

/// To whom a message goes.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecipientType {
    /// To one person.
    Individual,
}

/// What a message is.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    Text,
    Image,
    Audio,
    Video,
    Document,
    Sticker,
    Location,
    Contacts,
    Template,
    Interactive,
    Reaction,
    Hsm,
}

/// `text`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextBody {
    /// What it says. More characters: 1001.
    #[schema(min_length = 1, max_length = 4096)]
    pub body: String,
}

/// `context`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextBody {
    /// Of the quoted message.
    pub message_id: String,
}

/// A file: either the `id` of an upload or a `link`, which is fetched when the message is sent.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MediaBody {
    /// As `POST /v1/media` gave it.
    #[schema(max_length = 128)]
    pub id: Option<String>,
    /// An http or https URL.
    #[schema(max_length = 8192)]
    pub link: Option<String>,
    /// Whose credentials the link is fetched with.
    pub provider: Option<ProviderName>,
    /// Shown below it.
    #[schema(max_length = 1024)]
    pub caption: Option<String>,
    /// Shown instead of the link's.
    #[schema(max_length = 255)]
    pub filename: Option<String>,
}

/// A media provider by its name.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderName {
    /// Of `/v1/settings/application/media/providers`.
    #[schema(max_length = 200)]
    pub name: String,
}

/// `location`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationBody {
    /// Degrees north; may be written as a text.
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: f64,
    /// Degrees east; may be written as a text.
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: f64,
    /// What the place is called.
    #[schema(max_length = 1000)]
    pub name: Option<String>,
    /// Shown together with `name` only.
    #[schema(max_length = 1000)]
    pub address: Option<String>,
}

/// An address card.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CardBody {
    /// Besides `formatted_name` at least one of the others.
    pub name: CardName,
    /// With `wa_id` a button that opens a chat.
    #[schema(max_items = 100)]
    pub phones: Option<Vec<CardPhone>>,
    /// Addresses for mail.
    #[schema(max_items = 100)]
    pub emails: Option<Vec<CardEmail>>,
    /// Where to visit.
    #[schema(max_items = 100)]
    pub addresses: Option<Vec<CardAddress>>,
    /// Websites.
    #[schema(max_items = 100)]
    pub urls: Option<Vec<CardUrl>>,
    /// For whom the contact works.
    pub org: Option<CardOrg>,
    /// `YYYY-MM-DD`.
    #[schema(example = "1990-12-31")]
    pub birthday: Option<String>,
    /// `{"service":"…","user_id":"…"}`, or texts, as older clients wrote them.
    #[schema(max_items = 100, value_type = Option<Vec<Object>>)]
    pub ims: Option<Vec<()>>,
}

/// `name` of an address card.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CardName {
    #[schema(max_length = 1000)]
    pub formatted_name: String,
    #[schema(max_length = 1000)]
    pub first_name: Option<String>,
    #[schema(max_length = 1000)]
    pub last_name: Option<String>,
    #[schema(max_length = 1000)]
    pub middle_name: Option<String>,
    #[schema(max_length = 1000)]
    pub prefix: Option<String>,
    #[schema(max_length = 1000)]
    pub suffix: Option<String>,
}

/// A phone number on an address card.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CardPhone {
    #[schema(max_length = 1000)]
    pub phone: Option<String>,
    /// `CELL`, `MAIN`, `IPHONE`, `HOME`, `WORK`, or another word.
    #[schema(max_length = 1000)]
    pub r#type: Option<String>,
    #[schema(max_length = 1000)]
    pub wa_id: Option<String>,
}

/// An e-mail address on an address card.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CardEmail {
    #[schema(max_length = 1000)]
    pub email: Option<String>,
    #[schema(max_length = 1000)]
    pub r#type: Option<String>,
}

/// An address on an address card.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CardAddress {
    #[schema(max_length = 1000)]
    pub street: Option<String>,
    #[schema(max_length = 1000)]
    pub city: Option<String>,
    #[schema(max_length = 1000)]
    pub state: Option<String>,
    #[schema(max_length = 1000)]
    pub zip: Option<String>,
    #[schema(max_length = 1000)]
    pub country: Option<String>,
    #[schema(max_length = 1000)]
    pub country_code: Option<String>,
    #[schema(max_length = 1000)]
    pub r#type: Option<String>,
}

/// A website on an address card.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CardUrl {
    #[schema(max_length = 1000)]
    pub url: Option<String>,
    #[schema(max_length = 1000)]
    pub r#type: Option<String>,
}

/// A company on an address card.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CardOrg {
    #[schema(max_length = 1000)]
    pub company: Option<String>,
    #[schema(max_length = 1000)]
    pub department: Option<String>,
    #[schema(max_length = 1000)]
    pub title: Option<String>,
}

/// `reaction`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReactionBody {
    /// At which message.
    pub message_id: String,
    /// One emoji; an empty text removes it.
    #[schema(max_length = 16, example = "👍")]
    pub emoji: String,
}

/// `template`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateBody {
    /// Of the account; may be absent.
    #[schema(max_length = 128)]
    pub namespace: Option<String>,
    /// Lower-case letters, digits and underscores.
    #[schema(max_length = 512, pattern = "^[a-z0-9_]+$", example = "order_shipped")]
    pub name: String,
    /// In which language.
    #[schema(example = json!({"code": "en_US"}))]
    pub language: Language,
    /// Where parameters go: at most one `header`, `body` and `footer` each, and buttons.
    #[schema(max_items = 13)]
    pub components: Option<Vec<ComponentBody>>,
}

/// The language of a template.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// `deterministic`; for `hsm` also `fallback`.
    pub policy: Option<String>,
    #[schema(pattern = "^[a-z]{2,3}(_[A-Z]{2})?$", example = "en_US")]
    pub code: String,
}

/// A component of a template.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentBody {
    /// `header` (exactly one parameter), `body`, `footer` (none) or `button` (at most one).
    pub r#type: String,
    /// Of a button: `quick_reply`, `url`, `copy_code`, `catalog`, `mpm` or `flow`.
    pub sub_type: Option<String>,
    /// Of a button: its place, 0 to 9, as a text or a number.
    pub index: Option<String>,
    /// In the order of the placeholders.
    #[schema(max_items = 100)]
    pub parameters: Option<Vec<ParameterBody>>,
}

/// A parameter of a template: the object or text that is named like its type.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterBody {
    /// `text`, `currency`, `date_time`, `image`, `video`, `document`, `location`, `payload`,
    /// `coupon_code` or `action`.
    pub r#type: String,
    /// No line breaks, no tabs, at most four spaces in a row.
    pub text: Option<String>,
    /// `fallback_value`, `code` (three letters), `amount_1000` (an integer).
    #[schema(value_type = Option<Object>)]
    pub currency: Option<()>,
    /// `fallback_value`, and the parts of the date (`day_of_week`, `day_of_month`, `year`, `month`,
    /// `hour`, `minute`, `calendar`), or them in `component`, or `unix_epoch.timestamp`.
    #[schema(value_type = Option<Object>)]
    pub date_time: Option<()>,
    /// In a header.
    pub image: Option<MediaBody>,
    /// In a header.
    pub video: Option<MediaBody>,
    /// In a header.
    pub document: Option<MediaBody>,
    /// In a header.
    pub location: Option<LocationBody>,
    /// What a quick reply gives back.
    #[schema(max_length = 1024)]
    pub payload: Option<String>,
    /// A code to copy.
    #[schema(max_length = 15)]
    pub coupon_code: Option<String>,
    /// Of a catalog, a product list or a flow.
    #[schema(value_type = Option<Object>)]
    pub action: Option<()>,
}

/// `hsm`: a template as clients before v2.39 wrote it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HsmBody {
    #[schema(max_length = 128)]
    pub namespace: String,
    /// The template's name.
    #[schema(max_length = 512, pattern = "^[a-z0-9_]+$")]
    pub element_name: String,
    /// In which language.
    pub language: Language,
    /// `default`, and perhaps `currency` or `date_time`, in the order of the placeholders.
    #[schema(max_items = 100, value_type = Vec<Object>)]
    pub localizable_params: Vec<()>,
}

/// `interactive`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InteractiveBody {
    /// Which kind; says what `action` has.
    #[schema(inline)]
    pub r#type: InteractiveType,
    /// `list` and `product_list`: a text; `button`, `flow`, `address_message`, `order_details`: also a
    /// file; others: none.
    pub header: Option<HeaderBody>,
    /// Mandatory but for `product`; at most 1,024 characters.
    pub body: Option<WordsBody>,
    /// At most 60 characters.
    pub footer: Option<WordsBody>,
    /// `button`: `buttons`, 1 to 3 of `{"type":"reply","reply":{"id","title"}}`. `list`: `button` and
    /// `sections`, 1 to 10 with 1 to 10 `rows` (`id`, `title`, `description`) in all. `product`:
    /// `catalog_id` and `product_retailer_id`. `product_list`: `catalog_id` and `sections` with 1 to 30
    /// `product_items` in all. Others: `name` and `parameters`.
    #[schema(value_type = Object)]
    pub action: (),
}

/// Kinds of interactive messages.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InteractiveType {
    Button,
    List,
    Product,
    ProductList,
    CatalogMessage,
    LocationRequestMessage,
    Flow,
    AddressMessage,
    OrderDetails,
    OrderStatus,
}

/// `header` of an interactive message. Whatever is wrong with it: 2036.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderBody {
    /// `text`, `image`, `video` or `document`.
    pub r#type: String,
    #[schema(max_length = 60)]
    pub text: Option<String>,
    pub image: Option<MediaBody>,
    pub video: Option<MediaBody>,
    pub document: Option<MediaBody>,
}

/// A text of an interactive message.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WordsBody {
    #[schema(min_length = 1)]
    pub text: String,
}

/// The body of `PUT /v1/messages/{id}`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadMarkBody {
    /// `read`.
    #[schema(inline)]
    pub status: ReadStatus,
}

/// All a message can be marked as.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReadStatus {
    Read,
}
