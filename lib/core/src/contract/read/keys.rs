//! The keys of ODCS v3 (v3.0 to v3.2), object by object, so that a typo is refused wherever it stands.

/// Keys of the document itself.
pub(in crate::contract) const CONTRACT: &[&str] = &[
    "version",
    "kind",
    "apiVersion",
    "id",
    "name",
    "tenant",
    "tags",
    "status",
    "servers",
    "dataProduct",
    "description",
    "domain",
    "context",
    "schema",
    "support",
    "price",
    "team",
    "roles",
    "slaDefaultElement",
    "slaProperties",
    "authoritativeDefinitions",
    "customProperties",
    "contractCreatedTs",
];

/// Keys of an entry of `schema`.
pub(in crate::contract) const SCHEMA: &[&str] = &[
    "id",
    "name",
    "physicalType",
    "description",
    "businessName",
    "deprecated",
    "synonyms",
    "authoritativeDefinitions",
    "tags",
    "customProperties",
    "logicalType",
    "physicalName",
    "dataGranularityDescription",
    "properties",
    "relationships",
    "quality",
    "context",
];

/// Keys of a property.
pub(in crate::contract) const PROPERTY: &[&str] = &[
    "id",
    "name",
    "physicalType",
    "description",
    "businessName",
    "deprecated",
    "synonyms",
    "authoritativeDefinitions",
    "tags",
    "customProperties",
    "primaryKey",
    "primaryKeyPosition",
    "logicalType",
    "logicalTypeOptions",
    "physicalName",
    "required",
    "unique",
    "semanticType",
    "partitioned",
    "partitionKeyPosition",
    "classification",
    "encryptedName",
    "transformSourceObjects",
    "transformLogic",
    "transformDescription",
    "examples",
    "enum",
    "criticalDataElement",
    "relationships",
    "quality",
    "properties",
    "items",
];

/// Keys of a quality rule.
pub(in crate::contract) const QUALITY: &[&str] = &[
    "id",
    "authoritativeDefinitions",
    "businessImpact",
    "customProperties",
    "description",
    "dimension",
    "method",
    "name",
    "schedule",
    "scheduler",
    "severity",
    "tags",
    "type",
    "unit",
    "metric",
    "rule",
    "arguments",
    "query",
    "engine",
    "implementation",
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
];

/// Keys of an entry of `slaProperties`.
pub(in crate::contract) const SLA: &[&str] = &[
    "id",
    "property",
    "value",
    "valueExt",
    "unit",
    "element",
    "driver",
    "description",
    "scheduler",
    "schedule",
    "customProperties",
    "authoritativeDefinitions",
];

/// Keys of an entry of `customProperties`.
pub(in crate::contract) const CUSTOM_PROPERTY: &[&str] = &["id", "property", "value", "description", "vendor"];

/// Keys of an entry of `support`.
pub(in crate::contract) const SUPPORT: &[&str] =
    &["id", "channel", "url", "description", "tool", "scope", "invitationUrl", "customProperties"];

/// Keys of `team`.
pub(in crate::contract) const TEAM: &[&str] =
    &["id", "name", "description", "members", "tags", "customProperties", "authoritativeDefinitions"];

/// Keys of `description`.
pub(in crate::contract) const DESCRIPTION: &[&str] =
    &["usage", "purpose", "limitations", "authoritativeDefinitions", "customProperties"];

/// windrow's own keys of a raw schema.
pub(in crate::contract) const WINDROW_RAW: &[&str] = &["layer", "window", "input", "reader", "onViolation", "late"];

/// windrow's own keys of a clean schema.
pub(in crate::contract) const WINDROW_CLEAN: &[&str] =
    &["layer", "window", "onViolation", "dedupe", "sort", "split", "output", "checks"];

/// windrow's own keys of a curated schema.
pub(in crate::contract) const WINDROW_CURATED: &[&str] =
    &["layer", "window", "dedupe", "sort", "split", "output", "checks", "transform"];
