"use strict";

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayOperationId: true,
  displayRequestDuration: true,
  // A key that is typed in stays in this page's memory: it is gone on reload.
  persistAuthorization: false,
  // The page's own address must not choose what document is shown.
  queryConfigEnabled: false,
  // Its badge would be fetched from the validator's site.
  validatorUrl: null,
});
